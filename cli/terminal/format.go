package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/mezusphere/mezu/cli/exit"
)

// Format is how results are written.
type Format string

// Formats. JSON and YAML carry the same fields under the same names as the REST
// API.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// Formats are all of them, for help and completion.
func Formats() []string { return []string{string(Table), string(JSON), string(YAML)} }

// ParseFormat reads the value of --output.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Table, JSON, YAML:
		return f, nil
	}
	return "", exit.Usagef("--output is one of %s, not %q", strings.Join(Formats(), ", "), s)
}

// Column is one column of a table over rows of type T.
type Column[T any] struct {
	Head  string
	Value func(T) string
}

// WriteList writes records in the format: as a JSON array, a YAML sequence, or a
// table. On a terminal the table is aligned under a head; elsewhere its cells are
// separated by tabs and there is no head, so that cut and awk can read it.
func WriteList[T any](s Streams, f Format, items []T, columns []Column[T]) error {
	if f != Table {
		if items == nil {
			items = []T{}
		}
		return s.WriteValue(f, items)
	}
	rows := make([][]string, 0, len(items)+1)
	if s.OutTerminal {
		head := make([]string, len(columns))
		for i, c := range columns {
			head[i] = c.Head
		}
		rows = append(rows, head)
	}
	for _, item := range items {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = Clean(c.Value(item))
		}
		rows = append(rows, row)
	}
	return s.writeRows(rows)
}

// WriteRecord writes one record: as an object, or as lines of head and value. Columns
// without a value are left out.
func WriteRecord[T any](s Streams, f Format, item T, columns []Column[T]) error {
	if f != Table {
		return s.WriteValue(f, item)
	}
	var rows [][]string
	for _, c := range columns {
		if v := Clean(c.Value(item)); v != "" {
			rows = append(rows, []string{strings.ToLower(c.Head), v})
		}
	}
	return s.writeRows(rows)
}

// writeRows writes cells aligned on a terminal, else separated by tabs.
func (s Streams) writeRows(rows [][]string) error {
	if !s.OutTerminal {
		for _, row := range rows {
			if err := s.Printf("%s\n", strings.Join(row, "\t")); err != nil {
				return fmt.Errorf("writing the result: %w", err)
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// WriteValue writes v as JSON or YAML.
func (s Streams) WriteValue(f Format, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	out := escapeJSON(b.Bytes())
	if f == YAML {
		var err error
		if out, err = yamlFromJSON(out); err != nil {
			return err
		}
	}
	if _, err := s.Out.Write(out); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// WriteLine writes v as one line of JSON, as in a stream of events.
func (s Streams) WriteLine(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	if _, err := s.Out.Write(append(escapeJSON(data), '\n')); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}
