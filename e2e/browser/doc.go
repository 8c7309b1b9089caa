// Package browser holds the tests of what people see in a real browser: Debian's
// Chromium against "mezu dev", one process each for all tests.
//
// What lives here: flows of the hosted pages, with and without script, and what only a
// browser tells of a page. What may not: anything that an HTTP client can ask; that is
// with the package that answers. Nobody imports it.
package browser
