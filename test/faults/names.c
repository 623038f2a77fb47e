/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * names.c: preloaded into a program, answers for names that no test machine has: one that ends in
 * ".slow" takes five seconds and then does not exist, as when the name server does not answer; one
 * that ends in ".metadata" is the address where clouds keep their secrets.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static bool ends_in(const char *name, const char *end)
{
    size_t length = name == NULL ? 0 : strlen(name);

    return length > strlen(end) && strcmp(name + length - strlen(end), end) == 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **answers)
{
    lookup real = (lookup) dlsym(RTLD_NEXT, "getaddrinfo");

    if (ends_in(name, ".slow"))
    {
        sleep(5);
        return EAI_AGAIN;
    }
    return real(ends_in(name, ".metadata") ? "169.254.169.254" : name, service, hints, answers);
}
