# convnet.h needs no building; this makes the demo, the examples and the tests. GNU make and a C compiler are enough.
#   CC, CFLAGS   compiler and flags            OMP=0   without OpenMP (default: used where the compiler has it)

CC ?= cc
CFLAGS ?= -O2

# $(call probe,header,flag): the flag, when a program with that header compiles and links under it
hash := \#
probe = $(shell printf '$(hash)include <stdio.h>\n$(hash)include <$(1)>\nint main(void) { return 0; }\n' | \
                $(CC) $(CFLAGS) -x c - -o /dev/null $(2) 2>/dev/null && echo $(2))

OMP ?= 1
ifneq ($(OMP),0)
OPENMP := $(call probe,omp.h,-fopenmp)
endif
DL := $(call probe,dlfcn.h,-ldl)
STB := $(call probe,stb/stb_image.h,-lstb)

EXAMPLES := $(patsubst examples/%.c,build/%,$(wildcard examples/*.c))
ifeq ($(STB),)
EXAMPLES := $(filter-out build/05_own_images build/detect,$(EXAMPLES))
endif

help:
	@echo 'make demo        train LeNet-5 on drawn digits, a quarter of a minute, and show what it learnt'
	@echo 'make examples    all programs of examples/'
	@echo 'make build/NAME  one program: build/02_mnist_lenet from examples/, build/test_conv from tests/'
	@echo 'make test        all tests'
	@echo 'make test-cl     convnet_cl.h on all OpenCL implementations that are here'
	@echo 'make bench       how fast it is: products, convolutions, training, prediction (6 minutes)'
	@echo 'make bench-cl    the same of an OpenCL device, as CSV'
	@echo 'make build/probe_cl   what a new OpenCL device can; see tests/probe_cl.c'
	@echo 'make clean       remove build/'

demo: build/demo
	build/demo

examples: $(EXAMPLES)
ifeq ($(STB),)
	@echo 'skipped build/05_own_images, build/detect: no stb_image (Debian: apt-get install libstb-dev)'
endif

test:
	CC='$(CC)' sh tests/run.sh

test-cl: | build
	CC='$(CC)' CFLAGS='$(CFLAGS)' sh tests/run_cl.sh

bench: build/bench
	build/bench all

bench-cl: build/bench_cl
	build/bench_cl

clean:
	rm -rf build

build:
	mkdir -p build

build/%: examples/%.c convnet.h $(wildcard examples/*.h) | build
	$(CC) $(CFLAGS) $(OPENMP) -o $@ $< $(LIBS) -lm

build/%: tests/%.c convnet.h $(wildcard tests/*.h) | build
	$(CC) $(CFLAGS) $(OPENMP) -DCONVNET_IMPLEMENTATION= -o $@ $< $(LIBS) -lm

build/05_own_images build/detect: LIBS = -lstb
build/02_mnist_lenet build/03_cifar10 build/test_cl build/bench_cl build/probe_cl: LIBS = $(DL)
build/02_mnist_lenet build/03_cifar10 build/test_cl build/bench_cl build/probe_cl: convnet_cl.h

.PHONY: help demo examples test test-cl bench bench-cl clean
