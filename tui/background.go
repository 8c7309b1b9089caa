package tui

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/muesli/cancelreader"
)

// askBackground is how long the terminal has to say which background it has. Most answer in a
// few milliseconds, and those that never do must not keep the first frame back.
const askBackground = 100 * time.Millisecond

// Background asks the terminal for the colour behind its text (OSC 11 of xterm), and reports
// whether it is light. known is false if the terminal doesn't say.
func Background(in, out *os.File) (light, known bool) {
	state, err := term.MakeRaw(in.Fd())
	if err != nil {
		return false, false
	}
	defer term.Restore(in.Fd(), state)
	r, err := cancelreader.NewReader(in)
	if err != nil {
		return false, false
	}
	defer r.Close()
	// All terminals answer the second question (DA1), and those that know the first do so
	// before.
	if _, err := out.WriteString("\x1b]11;?\x07\x1b[c"); err != nil {
		return false, false
	}
	timer := time.AfterFunc(askBackground, func() { r.Cancel() })
	defer timer.Stop()
	answer, err := readAnswer(r)
	if err != nil {
		return false, false
	}
	return lightness(answer)
}

// maxAnswer bounds what a terminal says.
const maxAnswer = 512

// readAnswer reads up to the end of the answer to DA1.
func readAnswer(r cancelreader.CancelReader) ([]byte, error) {
	var answer []byte
	one := make([]byte, maxAnswer)
	for len(answer) < maxAnswer {
		n, err := r.Read(one)
		if err != nil {
			return nil, err
		}
		answer = append(answer, one[:n]...)
		if i := bytes.Index(answer, []byte("\x1b[?")); i >= 0 && bytes.IndexByte(answer[i:], 'c') > 0 {
			break
		}
	}
	return answer, nil
}

// lightness reads "rgb:RRRR/GGGG/BBBB", whose numbers have one to four hexadecimal digits.
func lightness(answer []byte) (light, known bool) {
	_, rest, ok := strings.Cut(string(answer), "\x1b]11;rgb:")
	if !ok {
		return false, false
	}
	text := rest[:strings.IndexFunc(rest+"\x1b", func(r rune) bool { return r == '\x1b' || r == '\a' })]
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return false, false
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} { // relative luminance, WCAG 2.2
		v, err := strconv.ParseUint(parts[i], 16, 16)
		if err != nil || len(parts[i]) > 4 {
			return false, false
		}
		sum += weight * float64(v) / float64(uint64(1)<<(4*len(parts[i]))-1)
	}
	return sum > 0.5, true
}
