package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"unicode/utf16"

	"github.com/pkg/browser"

	"github.com/mezusphere/mezu/cli/login"
)

// browserOf opens addresses in the browser of whoever is at this machine: https, or of a page
// that a daemon of this machine serves. That may last as long as the browser runs. What it prints goes nowhere: the terminal is ours.
func browserOf(getenv func(string) string) login.Opener {
	return func(address string) error {
		if !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://127.0.0.1:") || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("this is no address for a browser")
		}
		if runtime.GOOS == "linux" && openChosen(getenv("BROWSER"), address) {
			return nil
		}
		if runtime.GOOS == "linux" && login.InWSL(getenv) {
			return openWindows(address)
		}
		browser.Stdout, browser.Stderr = io.Discard, io.Discard
		return browser.OpenURL(address)
	}
}

// openChosen opens an address by the first of the programs in BROWSER that can, as editors set
// it in containers that have no other. Each may have arguments, and %s where the address goes.
func openChosen(programs, address string) bool {
	for one := range strings.SplitSeq(programs, ":") {
		words := strings.Fields(one)
		if len(words) == 0 {
			continue
		}
		if strings.Contains(one, "%s") {
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], "%s", address)
			}
		} else {
			words = append(words, address)
		}
		if exec.Command(words[0], words[1:]...).Run() == nil {
			return true
		}
	}
	return false
}

// openWindows opens an address in the browser of the Windows around a WSL. PowerShell gets a
// script in which the address is one quoted word, as one argument that no shell reads.
func openWindows(address string) error {
	if exec.Command("wslview", address).Run() == nil {
		return nil
	}
	return exec.Command("powershell.exe", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded("Start-Process '"+strings.ReplaceAll(address, "'", "''")+"'")).Run()
}

// encoded is a script as PowerShell takes it: UTF-16 in base64.
func encoded(script string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(script)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return base64.StdEncoding.EncodeToString(b)
}
