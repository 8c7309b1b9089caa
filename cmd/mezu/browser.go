package main

import (
	"errors"
	"os/exec"
	"runtime"
)

// openBrowser opens an https address in the browser of whoever is at this machine. It may
// last as long as the browser runs. What that prints goes nowhere: the terminal is ours.
func openBrowser(address string) error {
	switch runtime.GOOS {
	case "darwin":
		return exec.Command("open", address).Run()
	case "windows":
		return exec.Command("rundll32", "url.dll,FileProtocolHandler", address).Run()
	}
	for _, opener := range []string{"xdg-open", "x-www-browser", "www-browser", "wslview"} {
		if path, err := exec.LookPath(opener); err == nil {
			return exec.Command(path, address).Run()
		}
	}
	return errors.New("there is no program that opens addresses, such as xdg-open")
}
