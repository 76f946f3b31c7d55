#include <stdio.h>
int main(void) {
    puts("fanin");
    return 0;
}
