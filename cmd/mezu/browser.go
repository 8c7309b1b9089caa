package main

import (
	"io"

	"github.com/pkg/browser"
)

// openBrowser opens an https address in the browser of whoever is at this machine. It may
// last as long as the browser runs. What that prints goes nowhere: the terminal is ours.
func openBrowser(address string) error {
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	return browser.OpenURL(address)
}
