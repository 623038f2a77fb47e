// SPDX-License-Identifier: PostgreSQL
//
// scenarios.js: what a visitor of the status page sees and does, one function for each test of page.bats,
// which says around them what has happened before.
'use strict';

const { assert, sql, run, until, visit, picture, ADMIN } = require('./browser.js');

const headline = (page) => page.textContent('#headline');
const scrollsSideways = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);

// Whether anything was drawn on each canvas.
const drawn = (page) => page.evaluate(() => [...document.querySelectorAll('.chart canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, i) => i % 4 === 3 && value > 0);
}));

// Contrast of text and ground by WCAG 2.1, of every element that holds text itself; the least, and whose it is.
const leastContrast = (page) => page.evaluate(() => {
    const rgb = (text) => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    let least = { ratio: 99 };
    for (const element of document.querySelectorAll('body *:not(svg *):not(.uplot *)')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
        if (!own || element.checkVisibility?.() === false) continue;
        const [one, other] = [rgb(getComputedStyle(element).color), ground(element)].map(light).sort((a, b) => b - a);
        const ratio = (one + 0.05) / (other + 0.05);
        if (ratio < least.ratio) least = { ratio, element: element.outerHTML.slice(0, 200) };
    }
    return least;
});

// Everything that there is to see, with or without a script.
async function isComplete(page) {
    for (const id of ['verdict', 'step', 'split', 'gates', 'health', 'minutes', 'targets', 'errors', 'changes', 'forwarder'])
        assert.ok(await page.isVisible('#' + id), `section ${id}`);
    assert.match(await headline(page), /Customers are safe: unified is healthy at 50 %/);
    assert.match(await page.textContent('#verdict .proof'), /^\d+ errors? in [\d,]+ requests on unified since this step began: .*95 % confidence.* 0\.5 %\.$/);
    assert.match(await page.textContent('#split'), /jobs\s*enrolled\s*50 %/);
    assert.match(await page.textContent('#gates'), /evaluation/);
    assert.match(await page.textContent('#targets'), /wa-webhook-unified/);
    assert.match(await page.textContent('#changes'), /half of them/);
    assert.equal(await page.locator('#minutes-table tbody tr').count(), 60);
    assert.equal(await page.locator('main > section').evaluateAll((all) => all.filter((one) =>
        !document.getElementById(one.getAttribute('aria-labelledby'))).length), 0, 'sections without a heading');
}

module.exports = {
    async script(browser) {
        await visit(browser, {}, async (page, answer) => {
            const headers = answer.headers();
            assert.match(headers['content-security-policy'], /^default-src 'none';/);
            assert.doesNotMatch(headers['content-security-policy'], /unsafe|\*|http/);
            assert.match(headers['content-security-policy'], /frame-ancestors 'none'/);
            assert.equal(headers['x-content-type-options'], 'nosniff');
            assert.equal(headers['referrer-policy'], 'no-referrer');
            assert.equal(headers['cache-control'], 'no-store');
            await isComplete(page);
            assert.deepEqual(await drawn(page), [true, true]);
            await picture(page, 'safe');
        });
    },

    async noScript(browser) {
        await visit(browser, { javaScriptEnabled: false }, async (page) => {
            await isComplete(page);
            // Lines of both sides, drawn by the forwarder; and the page comes again without a script, too.
            assert.equal(await page.locator('#chart-latency path.line[d^=M]').count(), 4 + 4);
            assert.equal(await page.locator('noscript meta[http-equiv=refresh]').count(), 1);
            await page.waitForRequest(ADMIN + '/status', { timeout: 30000 });
            await picture(page, 'no-script');
        });
    },

    // A changed percentage is there within a refresh; what is open, and the place, stay.
    async change(browser) {
        await visit(browser, {}, async (page) => {
            await page.click('#minutes-numbers summary');
            await page.evaluate(() => scrollTo(0, 500));
            // Of the part that is seen first, whatever becomes of the verdict above it.
            const seen = await page.evaluate(() => [...document.querySelectorAll('main > section')]
                .find((part) => part.getBoundingClientRect().bottom > 0).id);
            const place = () => page.evaluate((id) => document.getElementById(id).getBoundingClientRect().top, seen);
            const before = await place();
            assert.notEqual(seen, 'verdict');
            assert.match(await page.textContent('#step'), /On unified\s*50 %/);
            let refreshes = 0;
            page.on('request', (request) => { refreshes += request.url() === ADMIN + '/status'; });
            sql("SELECT update_routing_percentage(37.5, 'seen on the page')");
            await until('the new percentage', 30, async () => /On unified\s*37\.5 %/.test(await page.textContent('#step')));
            // One was on its way, one was impatient with a slow database.
            assert.ok(refreshes <= 3, `${refreshes} refreshes until the new percentage was there`);
            assert.match(await page.textContent('#changes'), /50\.00 -> 37\.50\s*seen on the page/);
            assert.ok(Math.abs(await place() - before) < 2, 'what is looked at stays where it is');
            assert.ok(await page.isVisible('#minutes-table'), 'the numbers are still open');
            assert.ok(await page.evaluate(() => document.activeElement.matches('#minutes-numbers summary')), 'the focus stays');
            assert.deepEqual(await drawn(page), [true, true]);
            assert.equal(await page.locator('.chart canvas').count(), 2);
            sql("SELECT set_routing_enabled(false, 'the switch')");
            await until('the switch', 30, async () => /Routing is off/.test(await headline(page)));
            assert.match(await page.textContent('#verdict .detail'), /^Switched off at \d\d:\d\d:\d\d UTC by \w+: the switch\. Legacy/);
            assert.match(await page.title(), /^– off/);
            await picture(page, 'off');
        });
    },

    async phone(browser) {
        for (const colorScheme of ['light', 'dark']) {
            await visit(browser, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme }, async (page) => {
                assert.equal(await scrollsSideways(page), false);
                assert.ok((await page.locator('#verdict').boundingBox()).y < 120, 'the verdict is the first that is seen');
                await page.click('#minutes-numbers summary');
                assert.equal(await scrollsSideways(page), false, 'with the numbers open');
                await picture(page, 'phone-' + colorScheme);
            });
        }
    },

    // As wide as a tablet or a small window: no table is wider than its sheet, no sheet than the screen.
    async widths(browser) {
        for (let width = 480; width <= 1280; width += 50) {
            await visit(browser, { viewport: { width, height: 900 } }, async (page) => {
                const wider = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll('section')]
                    .filter((sheet) => sheet.scrollWidth > sheet.clientWidth + 1)
                    .map((sheet) => `${sheet.id || 'page'}: ${sheet.scrollWidth} in ${sheet.clientWidth}`));
                assert.deepEqual(wider, [], `at ${width}`);
            });
        }
    },

    async schemes(browser) {
        for (const colorScheme of ['light', 'dark']) {
            await visit(browser, { colorScheme }, async (page) => {
                const least = await leastContrast(page);
                assert.ok(least.ratio >= 4.5, `contrast ${least.ratio.toFixed(2)} of ${least.element}`);
                const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
                assert.equal(ground === 'rgb(17, 21, 28)', colorScheme === 'dark');
                await picture(page, colorScheme);
            });
        }
    },

    // What somebody wrote is shown as he wrote it, and does nothing.
    async escaping(browser) {
        await visit(browser, {}, async (page) => {
            await until('what somebody wrote', 30, async () =>
                /<script>document\.title="owned"<\/script> & "quoted" 'too'/.test(await page.textContent('#changes')));
            assert.match(await page.textContent('#errors'), /<img src=x onerror=alert\(\)>/);
            assert.match(await page.textContent('#targets'), /<script>bad<\/script>/);
            assert.doesNotMatch(await page.title(), /owned/);
            assert.equal(await page.locator('main script, main img').count(), 0);
            const json = JSON.parse(await page.evaluate(async () => (await fetch('status.json')).text()));
            assert.equal(json.changes[0].why, '<script>document.title="owned"</script> & "quoted" \'too\'');
        });
    },

    async critical(browser) {
        await visit(browser, {}, async (page) => {
            await until('critical', 30, async () => /^✕ Customers on unified are being failed: roll back/.test(await headline(page)));
            assert.match(await page.textContent('#verdict'), /property on unified: error rate [\d.]+ % is above 0\.5 %/);
            assert.match(await page.textContent('#verdict .advice'), /SELECT set_routing_enabled\(false/);
            assert.match(await page.textContent('#verdict .proof'), /of \d+ requests failed: .* no less than/);
            await picture(page, 'critical');
        });
        await visit(browser, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' }, (page) => picture(page, 'critical-phone'));
    },

    async warning(browser) {
        await visit(browser, {}, async (page) => {
            await until('a warning', 30, async () => /^! Hold: unified has errors to explain/.test(await headline(page)));
            await picture(page, 'warning');
        });
    },

    // An open breaker, and the error that opened it.
    async breaker(browser) {
        await visit(browser, {}, async (page) => {
            assert.match(await page.textContent('#targets'), /wa-webhook-unified\s*unified\s*✕ open/);
            assert.match(await page.textContent('#forwarder'), /wa-webhook-unified open in 1 of 1 workers/);
            await until('its error is stored', 30, async () => /HTTP #/.test(await page.textContent('#errors')));
            await picture(page, 'breaker');
        });
    },

    // The database goes away while the page is open, and comes back.
    async away(browser) {
        const server = process.env.SERVER;
        await visit(browser, {}, async (page) => {
            assert.doesNotMatch(await headline(page), /not reachable/);
            run(server, '-m', 'immediate', 'stop');
            await until('the database is not reachable', 30, async () => /Database not reachable since \d\d:\d\d:\d\d UTC, for \d+ s/.test(await headline(page)));
            assert.match(await page.textContent('#verdict .detail'), /the last rules \(config version \d+\) decide.*\d+ s old/);
            assert.match(await page.textContent('#split'), /jobs/, 'what was known is still shown');
            assert.ok(await page.evaluate(() => document.body.classList.contains('stale')));
            await page.reload();
            // What the browser takes to show it is not the forwarder's.
            const waited = await page.evaluate(() => {
                const [load] = performance.getEntriesByType('navigation');
                return load.responseStart - load.requestStart;
            });
            assert.ok(waited < 2500, `the page waits for no database that is not there, not for ${waited} ms`);
            assert.match(await headline(page), /Database not reachable since \d\d:\d\d:\d\d UTC, for \d+ s/);
            await picture(page, 'database-down');
            run(server, 'start');
            await until('it is back', 40, async () => !/not reachable/.test(await headline(page)));
            assert.ok(await page.evaluate(() => !document.body.classList.contains('stale')));
        });
    },

    // The forwarder itself goes away: the page says so, and how old it is.
    async lost(browser) {
        await visit(browser, {}, async (page) => {
            process.kill(Number(run('cat', process.env.STACK + '/forwarder.pid').split(' ')[0]), 'SIGTERM');
            await until('the page says that it is old', 30, () => page.isVisible('#lost'));
            assert.match(await page.textContent('#lost'), /The forwarder does not answer: this page is \d+ s old/);
            await picture(page, 'forwarder-gone');
        }, true);
    },
};
