// SPDX-License-Identifier: PostgreSQL
//
// page.js: fetches the status page again and puts what has changed in its place, so that the place on
// the page, what is open and what has the focus stay; and draws the charts with uPlot where that was
// built in. The page is complete without it.
'use strict';

const REFRESH_MS = 1000 * Number(document.body.dataset.refresh);
const charts = new Map(); // id of the figure -> uPlot
let fetched = Date.now();

// ---- the page in its place ----

const same = (one, other) => one.outerHTML === other.outerHTML;

const reachable = (part) => [...part.querySelectorAll('a, summary, [tabindex]')];

// Whether somebody is marking text in it, such as a command that he is about to copy.
function isMarked(part) {
    const marked = getSelection();
    return !marked.isCollapsed && part.contains(marked.anchorNode);
}

// What has changed of `from` goes into the place of the part with the same id. What is open, scrolled or has
// the focus stays so.
function replacePart(from) {
    const part = document.getElementById(from.id);
    if (same(part, from) || isMarked(part)) return;
    for (const { id } of part.querySelectorAll('details[open]')) {
        const details = from.querySelector('#' + id);
        if (details) details.open = true;
    }
    const focus = reachable(part).indexOf(document.activeElement);
    const scrolled = [...part.querySelectorAll('.scroll')].map((box) => [box.scrollLeft, box.scrollTop]);
    part.className = from.className;
    part.replaceChildren(...from.childNodes);
    part.querySelectorAll('.scroll').forEach((box, i) => {
        if (scrolled[i]) [box.scrollLeft, box.scrollTop] = scrolled[i];
    });
    if (focus >= 0) reachable(part)[focus]?.focus({ preventScroll: true });
}

// The part that is seen first stays where it is, whatever becomes of those above it.
function keepPlace(change) {
    const top = (part) => part.getBoundingClientRect().top;
    const seen = scrollY > 0 &&
        [...document.querySelectorAll('main > section')].find((part) => part.getBoundingClientRect().bottom > 0);
    const before = seen && top(seen);
    change();
    if (seen) scrollBy(0, top(seen) - before);
}

function replacePage(text) {
    const next = new DOMParser().parseFromString(text, 'text/html');
    const parts = next.querySelectorAll('main > section');
    if (parts.length === 0) throw new Error('no page');
    if (version(next) !== version(document)) {
        location.reload(); // another forwarder answers: its own style and script belong to it
        return;
    }
    document.title = next.title;
    document.body.className = next.body.className;
    document.querySelector('link[rel=icon]').href = next.querySelector('link[rel=icon]').getAttribute('href');
    document.getElementById('asof').replaceChildren(...next.getElementById('asof').childNodes);
    keepPlace(() => {
        for (const part of parts) replacePart(part);
        drawCharts(false);
    });
}

const version = (page) => page.querySelector('link[rel=stylesheet]').getAttribute('href');

function sayLost() {
    const main = document.querySelector('main');
    let lost = document.getElementById('lost');
    if (!lost) {
        lost = document.createElement('p');
        lost.id = 'lost';
        lost.setAttribute('role', 'alert');
        main.prepend(lost);
    }
    lost.textContent = 'The forwarder does not answer: this page is ' +
        Math.round((Date.now() - fetched) / 1000) + ' s old. Its log, and another forwarder\'s page, know more.';
}

async function refresh() {
    try {
        const answer = await fetch('status', { cache: 'no-store', signal: AbortSignal.timeout(REFRESH_MS) });
        if (!answer.ok) throw new Error(answer.status);
        replacePage(await answer.text());
        fetched = Date.now();
        document.getElementById('lost')?.remove();
    } catch {
        sayLost();
    }
}

// One that nobody looks at asks nothing.
async function refreshForever() {
    for (;;) {
        await new Promise((wake) => setTimeout(wake, REFRESH_MS));
        if (!document.hidden) await refresh();
    }
}

document.addEventListener('visibilitychange', () => {
    if (!document.hidden && Date.now() - fetched > REFRESH_MS) refresh();
});

// ---- charts ----

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

// The table of minutes by column, null where a cell is empty.
function minutes() {
    const table = document.getElementById('minutes-table');
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.name);
    const columns = Object.fromEntries(names.map((name) => [name, []]));
    for (const row of table.tBodies[0].rows) {
        [...row.cells].forEach((cell, i) => {
            const text = i === 0 ? cell.firstElementChild.dataset.s : cell.textContent;
            columns[names[i]].push(text === '' ? null : Number(text));
        });
    }
    return columns;
}

// A logarithm knows no zero: what is less than the scale lies on its lower edge.
const clamp = (values, least) => values.map((value) => (value === null ? null : Math.max(value, least)));
const share = (errors, requests) => errors.map((count, i) => (requests[i] > 0 ? (100 * count) / requests[i] : null));

const CHARTS = {
    latency: {
        range: [10, 10000],
        decimals: 0,
        series: [
            ['unified P95', 'unified', 2, (m) => m.unified_p95_ms],
            ['unified median', 'unified', 1, (m) => m.unified_p50_ms],
            ['legacy P95', 'legacy', 2, (m) => m.legacy_p95_ms],
            ['legacy median', 'legacy', 1, (m) => m.legacy_p50_ms],
        ],
    },
    'error-rate': {
        range: [0.01, 100],
        decimals: 2,
        series: [
            ['unified', 'unified', 2, (m) => share(m.unified_errors, m.unified_requests)],
            ['legacy', 'legacy', 2, (m) => share(m.legacy_errors, m.legacy_requests)],
        ],
    },
};

// "250 meta Meta: median 250 ms": value, class, words
function limits(figure) {
    return Object.entries(figure.dataset)
        .filter(([name]) => name.startsWith('limit-'))
        .map(([, text]) => text.match(/^(\S+) (\S+) (.*)$/).slice(1))
        .map(([value, kind, words]) => ({ value: Number(value), kind, words }))
        .filter((limit) => limit.value > 0);
}

function drawLimits(first, unit) {
    return (plot) => {
        const { ctx, bbox, figure = first } = plot; // the first time it has none yet
        ctx.save();
        ctx.font = 11 * devicePixelRatio + 'px system-ui, sans-serif';
        ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
        for (const { value, kind, words } of limits(figure)) {
            const y = Math.round(plot.valToPos(value, 'y', true));
            const right = kind === 'warning';
            ctx.strokeStyle = ctx.fillStyle = colour({ warning: 'warn', critical: 'bad' }[kind] || 'soft');
            ctx.beginPath();
            ctx.moveTo(bbox.left, y);
            ctx.lineTo(bbox.left + bbox.width, y);
            ctx.stroke();
            ctx.textAlign = right ? 'right' : 'left';
            ctx.fillText(kind === 'meta' ? words : words + ' ' + value + ' ' + unit,
                bbox.left + (right ? bbox.width - 4 : 4), y + (right ? 12 : -3) * devicePixelRatio);
        }
        ctx.restore();
    };
}

// A minute without neighbours is a point; the others are the line's.
const alone = (plot, series) => plot.data[series].flatMap((value, i, all) =>
    (value != null && all[i - 1] == null && all[i + 1] == null ? [i] : []));
const decades = (plot, ticks) => ticks.map((tick) => (Math.abs(Math.log10(tick) % 1) < 1e-9 ? tick : null));

function options(figure, chart, width) {
    const unit = figure.dataset.unit;
    const axis = { stroke: colour('soft'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } };
    const value = (plot, raw) => (raw == null ? '–' : raw.toFixed(chart.decimals) + ' ' + unit);
    return {
        width,
        height: 230,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
        scales: { y: { distr: 3, range: chart.range } },
        axes: [
            { ...axis, size: 30, values: '{HH}:{mm}' },
            { ...axis, size: 66, grid: { ...axis.grid, filter: decades }, values: (plot, ticks) => ticks.map((tick) => (tick === null ? '' : tick + ' ' + unit)) },
        ],
        series: [
            { label: 'UTC', value: '{HH}:{mm}' },
            ...chart.series.map(([label, side, weight]) => ({
                label,
                stroke: colour(side),
                width: weight,
                dash: side === 'legacy' ? [5, 4] : undefined,
                points: { show: weight > 1, size: 5, filter: alone },
                value,
            })),
        ],
        hooks: { draw: [drawLimits(figure, unit)] },
    };
}

// The same chart with newer numbers, so that what the pointer reads stays; `anew` where it has to be of
// another size or colour.
function drawChart(figure, columns, anew) {
    const chart = CHARTS[figure.id.replace('chart-', '')];
    const place = figure.querySelector('.plot');
    const data = [columns.minute, ...chart.series.map(([, , , read]) => clamp(read(columns), chart.range[0]))];
    let plot = charts.get(figure.id);

    if (plot && !anew) {
        place.append(plot.root);
        plot.figure = figure;
        plot.setData(data);
    } else {
        plot?.destroy();
        plot = new uPlot(options(figure, chart, Math.max(figure.clientWidth, 200)), data, place);
        plot.figure = figure;
        charts.set(figure.id, plot);
    }
    figure.classList.add('drawn');
}

function drawCharts(anew) {
    if (typeof uPlot === 'undefined' || !document.getElementById('minutes-table')) return;
    const columns = minutes();
    document.querySelectorAll('figure.chart').forEach((figure) => drawChart(figure, columns, anew));
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => drawCharts(true));
addEventListener('resize', () => drawCharts(true));
drawCharts(true);
refreshForever();
