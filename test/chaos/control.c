/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * control.c: the orders, as HTTP requests without a body. One is served at a time; whoever sends
 * one is a test on the same machine, so its bytes are waited for.
 */
#include "chaos.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* The value of `name` in "a=1&b=2", or `otherwise`. */
static const char *argument(const char *query, const char *name, const char *otherwise)
{
    size_t length = strlen(name);

    for (const char *at = query; at != NULL; at = strchr(at, '&'))
    {
        at += *at == '&';
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return at + length + 1;
    }
    return otherwise;
}

static long number(const char *query, const char *name, long otherwise)
{
    const char *value = argument(query, name, NULL);

    return value == NULL ? otherwise : strtol(value, NULL, 10);
}

/* Whether an order is meant for this direction; without one it is for both. */
static bool is_meant(const char *query, enum direction direction)
{
    const char *value = argument(query, "direction", NULL), *name = direction == UP ? "up" : "down";

    return value == NULL || strncmp(value, name, strlen(name)) == 0;
}

static void order_weather(const char *path, const char *query)
{
    for (int direction = UP; direction <= DOWN; direction++)
    {
        struct weather *weather = &orders.weather[direction];

        if (!is_meant(query, direction))
            continue;
        if (strcmp(path, "/latency") == 0)
        {
            weather->latency_us = (uint64_t) number(query, "ms", 0) * 1000;
            weather->jitter_us = (uint64_t) number(query, "jitter_ms", 0) * 1000;
        }
        else if (strcmp(path, "/rate") == 0)
            weather->rate = (uint64_t) number(query, "bytes", 0);
        else
        {
            weather->reset_after = (uint64_t) number(query, "bytes", 0);
            weather->reset_times = number(query, "times", -1);
        }
    }
}

/* False when there is no such order. */
static bool order(const char *path, const char *query)
{
    if (strcmp(path, "/plain") == 0)
        orders = (struct orders){.black_hole = false};
    else if (strcmp(path, "/latency") == 0 || strcmp(path, "/rate") == 0 ||
             strcmp(path, "/reset-after") == 0)
        order_weather(path, query);
    else if (strcmp(path, "/black-hole") == 0)
        orders.black_hole = true;
    else if (strcmp(path, "/freeze") == 0)
        orders.frozen = true;
    else if (strcmp(path, "/thaw") == 0)
        orders.frozen = false;
    else if (strcmp(path, "/refuse") == 0)
        orders.refusing = true;
    else if (strcmp(path, "/half-open") == 0)
        relay_half_open();
    else if (strcmp(path, "/reset") == 0)
        relay_reset_all();
    else if (strcmp(path, "/reset-answer") == 0)
        orders.reset_answers = number(query, "times", -1);
    else if (strcmp(path, "/close-idle") == 0)
        orders.close_idle = number(query, "times", -1);
    else
        return false;
    listener_obey();
    return true;
}

static int report(char *text, size_t size)
{
    return snprintf(text, size,
                    "{\"open\":%zu,\"accepted\":%" PRIu64 ",\"unreachable\":%" PRIu64
                    ",\"resets\":%" PRIu64 ",\"black_holed\":%" PRIu64 ",\"up\":%" PRIu64
                    ",\"down\":%" PRIu64 "}\n",
                    relay_count(), counts.accepted, counts.unreachable, counts.resets,
                    counts.black_holed, counts.bytes[UP], counts.bytes[DOWN]);
}

/* Reads to the end of the header; false when it does not come. */
static bool read_header(int fd, char *text, size_t size)
{
    struct timeval patience = {.tv_sec = 1};
    size_t length = 0;
    ssize_t got;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (length + 1 < size && (got = recv(fd, text + length, size - 1 - length, 0)) > 0)
    {
        length += (size_t) got;
        text[length] = '\0';
        if (strstr(text, "\r\n\r\n") != NULL)
            return true;
    }
    return false;
}

void control_serve(int fd)
{
    char text[4096], method[8], target[1024], answer[512], *query;
    const char *status = "200 OK";
    int length = snprintf(answer, sizeof answer, "{\"ok\":true}\n"), head;

    if (read_header(fd, text, sizeof text) && sscanf(text, "%7s %1023s", method, target) == 2)
    {
        query = strchr(target, '?');
        if (query != NULL)
            *query++ = '\0';
        if (strcmp(method, "GET") == 0 && strcmp(target, "/report") == 0)
            length = report(answer, sizeof answer);
        else if (strcmp(method, "POST") != 0 || !order(target, query == NULL ? "" : query))
        {
            status = "404 Not Found";
            length = snprintf(answer, sizeof answer, "{\"ok\":false}\n");
        }
        head = snprintf(text, sizeof text,
                        "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                        "Connection: close\r\n\r\n%s",
                        status, length, answer);
        if (send(fd, text, (size_t) head, MSG_NOSIGNAL) != head)
            perror("chaos-proxy: control");
    }
    close(fd);
}
