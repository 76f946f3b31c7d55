# The front door; CMake does the work.
#   make          install what is missing, build everything into build/
#   make demo     ... and do the main job: explain, initialise, check, train, report/index.html
#   make test     ... and run all tests
#   make bench    ... and print the benchmarks
#   make evidence ... and train on MNIST and Shapeset what the claims speak of (half an hour; FANIN_DATA)
#   make install PREFIX=/usr/local
BUILD ?= build
PREFIX ?= /usr/local
CMAKE_FLAGS ?=

all: $(BUILD)/build.ninja
	@cmake --build $(BUILD)

$(BUILD)/build.ninja:
	@sh scripts/install-deps.sh
	@cmake -G Ninja -B $(BUILD) $(CMAKE_FLAGS)

demo: all
	@sh scripts/demo.sh $(BUILD)/fanin

test: all
	@ctest --test-dir $(BUILD) --output-on-failure

bench: all
	@cmake --build $(BUILD) --target benches
	@sh scripts/bench.sh $(BUILD)

evidence: all
	@sh scripts/evidence.sh $(BUILD)/fanin

install: all
	@cmake --install $(BUILD) --prefix $(PREFIX)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

clean:
	@rm -rf $(BUILD) report

.PHONY: all demo test bench evidence install format clean
