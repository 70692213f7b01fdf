"""kreabench: which settings of FLUX.1 Krea [dev], at what cost, and did it get worse?"""

__version__ = "0.1.0"
