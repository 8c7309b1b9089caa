package manifest

import (
	"bytes"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/mezusphere/mezu"
)

// The YAML reader says of an error what it is and, of some, a line: that where what it
// could not read began, or the one before. Where it stood is found by giving it the text
// byte by byte: it asks for no more than it needs.

const (
	// readAhead is more than what the reader keeps in its buffers before it looks at it.
	readAhead = 4096
	// maxNarrow bounds the text that is read again, some twenty times, to find the
	// column.
	maxNarrow = 1 << 20
)

var (
	// syntaxLine finds the line in a message of the YAML reader.
	syntaxLine = regexp.MustCompile(`^line (\d+): `)
	// ofParser are messages whose line is not to be relied on: it is that before what
	// lies around the error.
	ofParser = regexp.MustCompile(`^did not find expected (key|'-' indicator|node content|',' or)`)
	// ofEnd are messages that a text which is cut off gets too.
	ofEnd = regexp.MustCompile(`^did not find expected (node content|',' or)`)
)

// syntax turns an error of the YAML reader into one with a place: where the reader
// stood when it gave up, or the beginning of the line where what it can't read began.
func syntax(name string, data []byte, err error) error {
	line, text := message(err)
	at := max(len(bytes.TrimRight(data[:failsAt(data)], " \r\n"))-1, 0)
	if begin := lineStart(data, line); line > 0 && begin <= at && !ofParser.MatchString(text) && bytes.IndexByte(data[begin:at], '\n') >= 0 {
		at = begin + len(data[begin:]) - len(bytes.TrimLeft(data[begin:], " "))
	} else if at < maxNarrow && !ofEnd.MatchString(text) {
		at = narrow(data, at, text)
	}
	return placed(name, data, at, mezu.Errorf(mezu.CodeInvalid, "is not YAML: %s", text))
}

// message splits what the YAML reader says into a line, zero if there is none, and the
// rest.
func message(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits of a line that was counted
		text = text[len(m[0]):]
	}
	return line, text
}

// narrow finds the first byte in the line of at with which the text has the error.
func narrow(data []byte, at int, text string) int {
	begin := bytes.LastIndexByte(data[:at], '\n') + 1
	return begin + sort.Search(at-begin, func(i int) bool {
		_, got := message(readAll(bytes.NewReader(data[:begin+i+1])))
		return got == text
	})
}

// failsAt is how many bytes of a text the YAML reader takes before it gives up.
func failsAt(data []byte) int {
	t := tape{data: data, whole: len(data)}
	_ = readAll(&t)
	t = tape{data: data, whole: t.read - readAhead}
	_ = readAll(&t)
	return t.read
}

// readAll reads every document of a text and gives the error at which that ends, io.EOF
// if there is none.
func readAll(r io.Reader) error {
	d := yaml.NewDecoder(r)
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); err != nil {
			return err
		}
	}
}

// tape gives a text in large parts up to a place, and from there byte by byte.
type tape struct {
	data        []byte
	whole, read int
}

// Read implements io.Reader.
func (t *tape) Read(p []byte) (int, error) {
	if t.read == len(t.data) {
		return 0, io.EOF
	}
	n := copy(p, t.data[t.read:max(t.whole, t.read+1)])
	t.read += n
	return n, nil
}

// lineStart is where a line begins, from 1; the end of the text if it has less.
func lineStart(data []byte, line int) int {
	at := 0
	for ; line > 1; line-- {
		next := bytes.IndexByte(data[at:], '\n')
		if next < 0 {
			return len(data)
		}
		at += next + 1
	}
	return at
}

// placed is an error at a byte of the text.
func placed(name string, data []byte, at int, err error) error {
	begin := bytes.LastIndexByte(data[:at], '\n') + 1
	return &Error{File: name, Line: 1 + bytes.Count(data[:at], []byte("\n")), Column: 1 + utf8.RuneCount(data[begin:at]), Err: err}
}
