"""The text of our own kernels for NVIDIA GPUs, in CUDA C++.

Two habits make the kernels short. One thread makes one number of the result and looks for whatever
goes into it; so no two threads write to one place, and sums come out the same at every run. And
indices are 32-bit, which a GPU divides several times faster, unless an array is too large for that.
"""

from __future__ import annotations

__all__ = ["source"]

# Every kernel goes through its numbers i in the same way: `total` of them, over all threads.
_EACH = """
#define FOR_EACH(i, total) \\
    for (I i = (I)blockIdx.x * blockDim.x + threadIdx.x, all = (I)gridDim.x * blockDim.x; \\
         i < (total); i += all)
"""

_GATHER = """
// Windows side by side: out (groups, images, rows, columns, kH, kW, channels), channels innermost.
// Window r begins at row (first_row + r) * stride_r - start_r of the map; what lies outside is 0.
extern "C" __global__ void gather(
    const T* x, T* out, I total, I images, I rows, I columns, I kh, I kw, I channels,
    I height, I width, I first_row, I stride_r, I stride_c, I dilation_r, I dilation_c,
    I start_r, I start_c, I step_n, I step_h, I step_w, I step_c)
{
    FOR_EACH(i, total) {
        I rest = i;
        I c = rest % channels; rest /= channels;
        I tap_c = rest % kw;   rest /= kw;
        I tap_r = rest % kh;   rest /= kh;
        I column = rest % columns; rest /= columns;
        I row = rest % rows;   rest /= rows;
        I n = rest % images;
        I group = rest / images;
        I h = (first_row + row) * stride_r + tap_r * dilation_r - start_r;
        I w = column * stride_c + tap_c * dilation_c - start_c;
        bool inside = h >= 0 && h < height && w >= 0 && w < width;
        out[i] = inside ? x[n * step_n + h * step_h + w * step_w + (group * channels + c) * step_c]
                        : (T)0;
    }
}
"""

_POOL = """
// The largest value under each window, and the number of the tap that saw it. Of equal values the
// first tap wins; a NaN beats every number, and of several the last wins. Maps are channels-last.
extern "C" __global__ void max_pool(
    const T* x, T* largest, W* winner, I total, I channels, I height, I width, I rows, I columns,
    I kh, I kw, I stride_r, I stride_c, I pad_r, I pad_c, I dilation_r, I dilation_c)
{
    FOR_EACH(i, total) {
        I rest = i;
        I c = rest % channels;     rest /= channels;
        I column = rest % columns; rest /= columns;
        I row = rest % rows;
        I n = rest / rows;
        T best = (T)0;
        I won = -1;
        for (I a = 0; a < kh; ++a) {
            I h = row * stride_r - pad_r + a * dilation_r;
            if (h < 0 || h >= height) continue;
            for (I b = 0; b < kw; ++b) {
                I w = column * stride_c - pad_c + b * dilation_c;
                if (w < 0 || w >= width) continue;
                T seen = x[((n * height + h) * width + w) * channels + c];
                if (won < 0 || seen > best || seen != seen) { best = seen; won = a * kw + b; }
            }
        }
        largest[i] = won < 0 ? (T)-1.0 / (T)0.0 : best;
        winner[i] = (W)(won < 0 ? 0 : won);
    }
}

// Its gradient, seen from a cell of the map: the sum over the windows that the cell has won.
// Tap a of window r sees row h where r * stride = h + pad - a * dilation leaves no rest.
extern "C" __global__ void max_pool_backward(
    const T* grad, const W* winner, T* out, I total, I channels, I height, I width, I rows,
    I columns, I kh, I kw, I stride_r, I stride_c, I pad_r, I pad_c, I dilation_r, I dilation_c)
{
    FOR_EACH(i, total) {
        I rest = i;
        I c = rest % channels; rest /= channels;
        I w = rest % width;    rest /= width;
        I h = rest % height;
        I n = rest / height;
        T sum = (T)0;
        for (I a = 0; a < kh; ++a) {
            I r = h + pad_r - a * dilation_r;
            if (r < 0 || r % stride_r || r / stride_r >= rows) continue;
            for (I b = 0; b < kw; ++b) {
                I s = w + pad_c - b * dilation_c;
                if (s < 0 || s % stride_c || s / stride_c >= columns) continue;
                I j = ((n * rows + r / stride_r) * columns + s / stride_c) * channels + c;
                if (winner[j] == (W)(a * kw + b)) sum += grad[j];
            }
        }
        out[i] = sum;
    }
}
"""

_COLUMNS = """
// Sums along the columns of a table, in parts: thread i adds up its numbers i, i + parts, ... Since
// `parts` is a multiple of the columns, all of them are of column i % columns, and neighbouring
// threads read neighbouring numbers.
extern "C" __global__ void sum_parts(const T* table, T* out, I size, I parts)
{
    FOR_EACH(i, parts) {
        T sum = (T)0;
        for (I j = i; j < size; j += parts) sum += table[j];
        out[i] = sum;
    }
}

// Of (table - mean) * (other - level): with other = table and level = mean, of squares.
extern "C" __global__ void product_parts(
    const T* table, const T* mean, const T* other, const T* level, T* out,
    I size, I parts, I columns)
{
    FOR_EACH(i, parts) {
        T sum = (T)0, m = mean[i % columns], l = level[i % columns];
        for (I j = i; j < size; j += parts) sum += (table[j] - m) * (other[j] - l);
        out[i] = sum;
    }
}

extern "C" __global__ void scale_columns(
    const T* table, const T* scale, const T* shift, T* out, I total, I columns)
{
    FOR_EACH(i, total) out[i] = table[i] * scale[i % columns] + shift[i % columns];
}

extern "C" __global__ void mix_columns(
    const T* table, const T* scale, const T* other, const T* factor, const T* shift, T* out,
    I total, I columns)
{
    FOR_EACH(i, total) {
        I c = i % columns;
        out[i] = table[i] * scale[c] + other[i] * factor[c] + shift[c];
    }
}
"""

_PLACES = """
// Which of the values that name one cell is the last, row by row: the largest number i. Threads
// meet here, and only here; but a largest number is the same in whatever order they come.
extern "C" __global__ void claim(
    const long long* places, long long* last, I total, I channels, I pooled, I cells)
{
    FOR_EACH(i, total) {
        I c = i % channels, n = i / channels / pooled;
        atomicMax(&last[(n * cells + (I)places[i]) * channels + c], (long long)i);
    }
}

extern "C" __global__ void put(
    const T* values, const long long* places, const long long* last, T* out, bool* stayed,
    I total, I channels, I pooled, I cells)
{
    FOR_EACH(i, total) {
        I c = i % channels, n = i / channels / pooled;
        I cell = (n * cells + (I)places[i]) * channels + c;
        stayed[i] = last[cell] == (long long)i;
        if (stayed[i]) out[cell] = values[i];
    }
}
"""


_UPDATES = """
// Adam's step, see minisegnet.optim.Adam. Four of its numbers change from step to step; while one
// is recorded, they are read from the device, where their pointers are not null.
extern "C" __global__ void adam(
    T* data, const T* grad, T* mean, T* square, const T* forget_at, const T* learn_at,
    const T* root_at, const T* rate_at, T forget, T learn, T root, T rate,
    T keep_square, T learn_square, T eps, I total)
{
    if (forget_at) { forget = *forget_at; learn = *learn_at; root = *root_at; rate = *rate_at; }
    FOR_EACH(i, total) {
        T g = grad[i];
        mean[i] = mean[i] * forget + g * learn;
        square[i] = square[i] * keep_square + g * g * learn_square;
        data[i] -= mean[i] / (sqrt(square[i]) / root + eps) * rate;
    }
}

// Momentum, and what it would be after the same gradient once more; see minisegnet.optim.Muon.
extern "C" __global__ void look_ahead(
    T* momentum, const T* grad, T* ahead, const T* keep_at, const T* learn_at, T keep, T learn,
    I total)
{
    if (keep_at) { keep = *keep_at; learn = *learn_at; }
    FOR_EACH(i, total) {
        T g = grad[i] * learn, m = momentum[i] * keep + g;
        momentum[i] = m;
        ahead[i] = m * keep + g;
    }
}

// a + b A + c A^2 for each of a stack of A; the second array holds A^2 and gets the result.
extern "C" __global__ void quadratic(
    const T* matrix, T* square, T a, T b, T c, I total, I side)
{
    FOR_EACH(i, total) {
        I on_diagonal = i / side % side == i % side;
        square[i] = (on_diagonal ? a : (T)0) + matrix[i] * b + square[i] * c;
    }
}
"""


def source(number: str, small: str, index: str) -> str:
    """The text of all kernels, for one type of numbers, of small integers and of indices."""
    types = f"typedef {number} T;\ntypedef {small} W;\ntypedef {index} I;\n"
    return types + _EACH + _GATHER + _POOL + _COLUMNS + _PLACES + _UPDATES
