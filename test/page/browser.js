// SPDX-License-Identifier: PostgreSQL
//
// browser.js: a real headless Chromium that looks at the status page, for page.bats. Whatever it asks of
// anybody else than the admin listener, and whatever the console has to complain of, fails the visit.
//
//     node browser.js SCENARIO      one of scenarios.js; exit status 0 when all that it says is so
//
// Environment: ADMIN_URL, PICTURES (a folder for screenshots), CHROMIUM (its program).
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { chromium } = require('playwright-core');

const ADMIN = process.env.ADMIN_URL;

// Runs statements by psql, or a command of the test's own; its output.
const sql = (statement) => execFileSync('psql', ['-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', statement], { encoding: 'utf8' }).trim();
const run = (command, ...words) => execFileSync(command, words, { encoding: 'utf8' });

// Until `condition` gives something true; fails with `what` after so many seconds.
async function until(what, seconds, condition) {
    for (const end = Date.now() + 1000 * seconds; ;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) assert.fail(`not within ${seconds} s: ${what}`);
        await new Promise((wake) => setTimeout(wake, 100));
    }
}

// A visit with these settings of playwright's newContext(); `lost` allows requests that fail, since the
// forwarder is stopped.
async function visit(browser, settings, look, lost = false) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...settings });
    const page = await context.newPage();
    const foreign = [], complaints = [];
    page.on('request', (request) => {
        if (!request.url().startsWith(ADMIN + '/')) foreign.push(request.url());
    });
    page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    const answer = await page.goto(ADMIN + '/status');
    assert.equal(answer.status(), 200);
    await look(page, answer);
    assert.deepEqual(foreign, [], 'requests to others');
    assert.deepEqual(lost ? complaints.filter((text) => !/^Failed to load resource: net::ERR_/.test(text)) : complaints, [], 'complaints of the console');
    await context.close();
}

const picture = (page, name) => page.screenshot({ path: `${process.env.PICTURES}/${name}.png`, fullPage: true });

module.exports = { assert, sql, run, until, visit, picture, ADMIN };

async function main(name) {
    const scenario = require('./scenarios.js')[name];
    assert.ok(scenario, `there is no scenario ${name}`);
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
    try {
        await scenario(browser);
    } finally {
        await browser.close();
    }
}

if (require.main === module) {
    main(process.argv[2]).catch((error) => {
        console.error(error);
        process.exitCode = 1;
    });
}
