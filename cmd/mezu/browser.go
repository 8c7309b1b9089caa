package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"html"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/pkg/browser"

	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/login"
)

// browserOf opens addresses in the browser of whoever is at this machine: https, or of a page
// that a daemon of this machine serves. That may last as long as the browser runs. What it prints
// goes nowhere: the terminal is ours. folder is for files that lead to addresses with secrets.
func browserOf(getenv func(string) string, folder string) login.Opener {
	return func(address string) error {
		own := strings.HasPrefix(address, "http://127.0.0.1:")
		if !strings.HasPrefix(address, "https://") && !own || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("this is no address for a browser")
		}
		// The browser of Windows does not see files of a WSL, and there arguments are seen by
		// nobody else.
		if own && runtime.GOOS != "windows" && !login.InWSL(getenv) {
			var err error
			if address, err = handOver(folder, address, time.Now()); err != nil {
				return err
			}
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

const (
	// pagesFolder is the folder of such files, in that of the state.
	pagesFolder = "page"
	// handedPattern names files that lead to an address.
	handedPattern = "open-*.html"
	// handedLife is how long such a file is of use. The token in it ends sooner.
	handedLife = 10 * time.Minute
)

// handOver writes an address with a secret into a file that only its owner can read, and gives
// the address of that: every user of a machine sees the arguments of all programs. The page
// takes the secret once. Files from before are removed: nobody says when a browser has read one.
func handOver(folder, address string, now time.Time) (string, error) {
	if folder == "" {
		return "", errors.New("there is no folder for its address")
	}
	if err := atomicfile.EnsureOwnDir(folder); err != nil {
		return "", err
	}
	old, _ := filepath.Glob(filepath.Join(folder, handedPattern)) // the pattern is right
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && now.Sub(info.ModTime()) > handedLife {
			os.Remove(path) // else the next one does
		}
	}
	f, err := os.CreateTemp(folder, handedPattern) // 0600
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(f, "<!doctype html>\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta http-equiv=\"refresh\" content=\"0;url=%s\">\n<title>mezu</title>\n", html.EscapeString(address))
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: f.Name()}).String(), nil
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
