package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
)

// maxErrors is how many errors of one file are told. Whoever has more mends these first; and
// to find the line of each, the file is read once more.
const maxErrors = 50

// Errors are all that is wrong with a file, in the order of its lines.
type Errors struct {
	File string
	All  []error
	// More: nobody has looked for more than these.
	More bool
}

// Summary is how many there are.
func (e *Errors) Summary() string {
	least := ""
	if e.More {
		least = "at least "
	}
	return fmt.Sprintf("%s has %s%d errors", e.File, least, len(e.All))
}

// Error is the summary, and a line for each.
func (e *Errors) Error() string {
	lines := make([]string, 1, 1+len(e.All))
	lines[0] = e.Summary() + ":"
	for _, one := range e.All {
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives them.
func (e *Errors) Unwrap() []error { return e.All }

// Each gives them to who shows each by itself.
func (e *Errors) Each() []error { return e.All }

// findings are the errors that were found so far.
type findings struct {
	errors []error
	// fields are those that could not be read.
	fields []string
	last   error
	// more: there may be others, which nobody has looked for.
	more bool
}

// add adds an error about a value that could not be read, and reports whether there may be more.
func (f *findings) add(err error) bool {
	var e *mezu.Error
	if errors.As(err, &e) && (len(f.errors) == 0 || f.last == nil || err.Error() != f.last.Error()) {
		f.fields = append(f.fields, e.Field)
		f.errors, f.last = append(f.errors, err), err
	} else if e == nil {
		f.errors = append(f.errors, err)
	}
	f.more = f.more || len(f.errors) >= maxErrors
	return !f.more
}

// addRule adds an error about a rule of the domain, unless it follows from a value that could
// not be read: that value is missing then.
func (f *findings) addRule(file *File, err error) {
	var e *mezu.Error
	if errors.As(err, &e) && slices.ContainsFunc(f.fields, func(field string) bool { return follows(e.Field, field) }) {
		return
	}
	if len(f.errors) >= maxErrors {
		f.more = true
		return
	}
	f.errors = append(f.errors, file.locate(err))
}

// follows reports whether an error about a field may be one only because another could not be
// read: it is within that, or is about the whole route that has it, which then seems to match nothing.
func follows(field, unread string) bool {
	return below(field, unread) || strings.HasSuffix(field, "]") && below(unread, field)
}

// below reports whether a field is another one, or within it.
func below(field, other string) bool {
	rest, within := strings.CutPrefix(field, other)
	return within && (rest == "" || other == "" || rest[0] == '.' || rest[0] == '[')
}

// error is one error for all.
func (f *findings) error(file string) error {
	if len(f.errors) == 1 {
		return f.errors[0]
	}
	slices.SortStableFunc(f.errors, func(a, b error) int {
		var at, other *Error
		if !errors.As(a, &at) || !errors.As(b, &other) {
			return 0
		}
		return cmp.Or(cmp.Compare(at.Line, other.Line), cmp.Compare(at.Column, other.Column))
	})
	return &Errors{file, f.errors, f.more}
}
