/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * slow_names.c: preloaded into a program, makes every name that ends in ".slow" take five seconds
 * and then not exist, as a name server does that does not answer.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **answers)
{
    size_t length = name == NULL ? 0 : strlen(name);

    if (length > 5 && strcmp(name + length - 5, ".slow") == 0)
    {
        sleep(5);
        return EAI_AGAIN;
    }
    return ((lookup) dlsym(RTLD_NEXT, "getaddrinfo"))(name, service, hints, answers);
}
