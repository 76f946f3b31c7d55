# make install: an engine's author compiles against the installed tree, by pkg-config and by CMake.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
if [ "${FANIN_SANITIZED:-0}" = 1 ]; then
  skip install "sanitized libraries want the sanitizer in every program"
  finish
fi
check install cmake --install "$FANIN_BUILD_DIR" --prefix "$tmp/prefix"
lib=$(dirname "$(find "$tmp/prefix" -name fanin.pc)")
export PKG_CONFIG_PATH=$lib
lib=$(dirname "$lib")
export LD_LIBRARY_PATH=$lib
cc=${CC:-cc}
for mode in shared static; do
  flags=$(pkg-config --cflags --libs fanin)
  [ $mode = static ] && flags="$(pkg-config --cflags fanin) $lib/libfanin.a -lm -pthread"
  # shellcheck disable=SC2086
  check compile_fill_$mode $cc -std=c11 -Wall -Wextra -Werror "$FANIN_SOURCE_DIR/examples/fill.c" $flags -o fill_$mode
  check run_fill_$mode ./fill_$mode
  cp .out values_$mode
done
check same_values cmp values_shared values_static
# Every header stands alone, for C and for C++.
for header in "$tmp"/prefix/include/fanin/*.h; do
  room=$(basename "$header" .h)
  echo "#include <fanin/$room.h>" >alone.c
  cp alone.c alone.cc
  check "alone_${room}_c" $cc -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$tmp/prefix/include" alone.c
  command -v c++ >/dev/null &&
    check "alone_${room}_cc" c++ -std=c++11 -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$tmp/prefix/include" alone.cc
done
# shellcheck disable=SC2046
check compile_onnx $cc -std=c11 -Wall -Wextra -Werror "$FANIN_SOURCE_DIR/examples/onnx_init.c" \
  $(pkg-config --cflags --libs fanin-net) -o onnx_init
check model "$FANIN" init mlp:8-4x2-3 --scheme zeros -o m.onnx
check run_onnx ./onnx_init m.onnx out.safetensors
check program "$FANIN" init m.onnx --scheme he --seed 1 -o same.safetensors
check library_and_program_agree cmp out.safetensors same.safetensors
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.21)
project(user C)
find_package(fanin REQUIRED)
add_executable(fill fill.c)
target_link_libraries(fill fanin::fanin)
END
cp "$FANIN_SOURCE_DIR/examples/fill.c" .
check cmake_package cmake -G Ninja -B user -DCMAKE_PREFIX_PATH="$tmp/prefix" .
check cmake_build cmake --build user
check cmake_runs ./user/fill
# Only fanin_ names leave the libraries.
check no_foreign_symbols sh -c "! nm -D --defined-only $lib/libfanin.so | awk '{print \$3}' | grep -v '^fanin_[a-z]'"
check no_foreign_symbols_net sh -c "! nm -D --defined-only $lib/libfanin-net.so | awk '{print \$3}' | grep -v '^fanin_[a-z]'"
finish
