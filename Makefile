# The steps of the quality gate by name; .ci/run says what each one does.
COMPARE ?= ../shared/bench/compare.sh

.PHONY: all fmt lint test race bench fuzz repeat perturb soak soak-hostile faults faults-strace cuts slow clocks kills stuck huge interop restarts demo compare

all: lint race test

fmt:
	gofmt -w .

lint:
	bash .ci/run format lint

test race fuzz repeat perturb soak soak-hostile faults faults-strace cuts slow clocks kills stuck huge interop restarts demo:
	bash .ci/run $@

bench:
	BENCHTIME=1s bash .ci/run bench

compare: # ratios to libzmq; needs a C compiler and libzmq3-dev
	"$(COMPARE)"
