# SPDX-License-Identifier: PostgreSQL
#
# The report of forwarder.sh, from lines "figure, connections, proxy, repetition, value". Ratios are made
# within a repetition, where both sides met the same machine, and their median is printed.
BEGIN { FS = "\t" }
{
    value[$1, $2, $3, $4] = $5
    if ($4 > last) last = $4
}

# Median of sample[1..count].
function median(    i, j, held) {
    for (i = 2; i <= count; i++) {
        held = sample[i]
        for (j = i - 1; j > 0 && sample[j] > held; j--)
            sample[j + 1] = sample[j]
        sample[j + 1] = held
    }
    return count % 2 ? sample[(count + 1) / 2] : (sample[count / 2] + sample[count / 2 + 1]) / 2
}
function middle(figure, connections, proxy,    i) {
    for (count = i = 0; i <= last; i++)
        if ((figure, connections, proxy, i) in value)
            sample[++count] = value[figure, connections, proxy, i]
    return median()
}
function ratio(figure, connections, proxy,    i) {
    for (count = i = 0; i <= last; i++)
        if ((figure, connections, proxy, i) in value)
            sample[++count] = value[figure, connections, proxy, i] / value[figure, connections, "nginx", i]
    return median()
}
function added(figure, proxy,    i) {
    for (count = i = 0; i <= last; i++)
        if ((figure, rate, proxy, i) in value)
            sample[++count] = value[figure, rate, proxy, i] - value[figure, rate, "direct", i]
    return median()
}
# A figure against its bar and its moonshot; `more`: the higher the better.
function against(what, figure, format, bar, moonshot, more,    sign, text, verdict) {
    sign = more ? ">= " : "<= "
    verdict = "not reached"
    if (more ? figure >= bar : figure <= bar)
        verdict = "bar"
    if (moonshot != "" && (more ? figure >= moonshot : figure <= moonshot))
        verdict = "moonshot"
    printf "| %s | " format " | %s%s | %s | %s |\n", what, figure, sign, bar,
        moonshot == "" ? "" : sign moonshot, verdict
}

END {
    names = split("nginx haproxy forwarder", proxy, " ")
    levels = split("1 16 64 256", level, " ")

    print "\n| connections | proxy | CPU, us/request | of nginx | requests/s | of nginx | p50 ms | p99 ms | PostgreSQL, us/request |"
    print "|---|---|---|---|---|---|---|---|---|"
    for (l = 1; l <= levels; l++)
        for (p = 1; p <= names; p++)
            printf "| %s | %s | %.1f | %.2f | %.0f | %.2f | %.2f | %.2f | %s |\n", level[l], proxy[p],
                middle("cpu_us", level[l], proxy[p]), ratio("cpu_us", level[l], proxy[p]),
                middle("per_second", level[l], proxy[p]), ratio("per_second", level[l], proxy[p]),
                middle("p50_ms", level[l], proxy[p]), middle("p99_ms", level[l], proxy[p]),
                proxy[p] == "forwarder" ? sprintf("%.1f", middle("database_us", level[l], proxy[p])) : ""

    printf "\n| proxy | added at %d requests/s: p50 ms | p99 ms | MB with %d idle connections | MB at most |\n", rate, idle
    print "|---|---|---|---|---|"
    for (p = 1; p <= names; p++)
        printf "| %s | %.3f | %.3f | %.1f | %.1f |\n", proxy[p], added("rate_p50_ms", proxy[p]),
            added("rate_p99_ms", proxy[p]), middle("idle_mb", idle, proxy[p]), middle("peak_mb", 256, proxy[p])

    print "\n| webhook-forwarder | measured | bar | moonshot | reached |"
    print "|---|---|---|---|---|"
    against("CPU per request, 64 connections, of nginx", ratio("cpu_us", 64, "forwarder"), "%.2f", 1.8, 1.4)
    against("throughput, 64 connections, of nginx", ratio("per_second", 64, "forwarder"), "%.2f", 0.5, 0.75, 1)
    against("added latency at 1,000 requests/s, p50, ms", added("rate_p50_ms", "forwarder"), "%.3f", 0.3, "")
    against("added latency at 1,000 requests/s, p99, ms", added("rate_p99_ms", "forwarder"), "%.3f", 3, 1)
    against("memory, 1,000 idle connections, MB", middle("idle_mb", idle, "forwarder"), "%.1f", 64, 24)
}
