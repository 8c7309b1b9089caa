package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// plainScalar matches strings that every YAML reader reads as that string when they are not
// quoted: they begin with a letter, have no indicator, and can't be a number or a time.
// yamlWord has the words with a meaning of their own.
var plainScalar = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./@+-]*$`)

// yamlWord matches the words that readers of YAML 1.1 or 1.2 read as a boolean or null.
var yamlWord = regexp.MustCompile(`(?i)^(y|n|yes|no|true|false|on|off|null)$`)

// yamlFromJSON writes a JSON text as YAML in block style with the same order of
// keys. Strings that are not plain stay as JSON writes them, which YAML 1.2 reads.
func yamlFromJSON(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	w := yamlWriter{d: d}
	if err := w.value(0, ""); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return w.out.Bytes(), nil
}

// yamlWriter turns JSON tokens into lines.
type yamlWriter struct {
	d   *json.Decoder
	out bytes.Buffer
}

// value writes the next JSON value. If the value fits on the current line, lead is written
// before it: " " after a key.
func (w *yamlWriter) value(indent int, lead string) error {
	t, err := w.d.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		if !w.d.More() {
			_, err := w.d.Token()
			w.out.WriteString(lead + map[json.Delim]string{'{': "{}", '[': "[]"}[t] + "\n")
			return err
		}
		if t == '{' {
			return w.mapping(indent, lead)
		}
		return w.sequence(indent, lead)
	case string:
		w.out.WriteString(lead + yamlString(t) + "\n")
	case nil:
		w.out.WriteString(lead + "null\n")
	default:
		fmt.Fprintf(&w.out, "%s%v\n", lead, t)
	}
	return nil
}

// mapping writes the entries of an object. The first entry is on the same line after "- ",
// and on the next line after a key.
func (w *yamlWriter) mapping(indent int, lead string) error {
	first := lead == "- "
	if first {
		w.out.WriteString(lead)
	} else if lead != "" {
		w.out.WriteByte('\n')
	}
	for w.d.More() {
		key, err := w.d.Token()
		if err != nil {
			return err
		}
		if !first {
			w.out.WriteString(strings.Repeat(" ", indent))
		}
		first = false
		w.out.WriteString(yamlString(key.(string)) + ":")
		if err := w.value(indent+2, " "); err != nil {
			return err
		}
	}
	_, err := w.d.Token()
	return err
}

// sequence writes the items of an array.
func (w *yamlWriter) sequence(indent int, lead string) error {
	if lead == "- " {
		w.out.WriteString("-\n")
	} else if lead != "" {
		w.out.WriteByte('\n')
	}
	for w.d.More() {
		w.out.WriteString(strings.Repeat(" ", indent))
		if err := w.value(indent+2, "- "); err != nil {
			return err
		}
	}
	_, err := w.d.Token()
	return err
}

// yamlString writes a string without quotes if no reader can misread it.
func yamlString(s string) string {
	if plainScalar.MatchString(s) && !yamlWord.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s) // a string always encodes
	return string(EscapeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))))
}
