// A program whose library allocates before libleak.so is ready.
#include <dlfcn.h>
#include <stdio.h>

const char* early_library_domain(void);

int main(void)
{
    const char* error = dlerror();
    printf("%s, %s\n", early_library_domain(), error == NULL ? "no error" : error);
    return 0;
}
