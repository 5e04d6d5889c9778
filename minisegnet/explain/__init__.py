"""Show your work."""
from minisegnet.explain.convolution import conv2d
from minisegnet.explain.transposed import conv_transpose2d
from minisegnet.explain.size_solver import sizes, overlap_counts, overlap_ratio
