package process

import (
	"regexp"
	"strings"

	"github.com/mezusphere/mezu/cli/exit"
)

// wrongFlag are the errors of the library of flags, each with what it says here.
func wrongFlag() []struct {
	of   *regexp.Regexp
	says string
} {
	return []struct {
		of   *regexp.Regexp
		says string
	}{
		{regexp.MustCompile(`(?s)^flag provided but not defined: --?(.*)$`), "there is no flag --$1"},
		{regexp.MustCompile(`(?s)^flag needs an argument: --?(.*)$`), "--$1 needs a value"},
		{regexp.MustCompile(`(?s)^invalid boolean value (".*") for --?([a-z-]+): .*$`), "--$2 is true or false, not $1"},
		{regexp.MustCompile(`(?s)^invalid (?:boolean flag|value) .* for (?:flag )?--?([a-z-]+): (.*)$`), "--$1: $2"},
		{regexp.MustCompile(`(?s)^invalid boolean flag ([a-z-]+): .*$`), "--$1 is true or false"},
	}
}

// FlagError says in words of ours what package flag has found wrong.
func FlagError(err error) *exit.UsageError {
	text := err.Error()
	for _, w := range wrongFlag() {
		if w.of.MatchString(text) {
			text = w.of.ReplaceAllString(text, w.says)
			break
		}
	}
	return exit.Usagef("%s", strings.TrimSpace(text))
}
