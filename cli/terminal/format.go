package terminal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mezusphere/mezu/cli/exit"
)

// Format is how results are written.
type Format string

// Formats. JSON and YAML carry the same fields under the same names as the REST API.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
	// Names are what commands name records by, one a line.
	Names Format = "name"
)

// Formats are all of them, for help and completion.
func Formats() []string { return []string{string(Table), string(JSON), string(YAML), string(Names)} }

// ParseFormat reads the value of --output.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Table, JSON, YAML, Names:
		return f, nil
	}
	return "", exit.Usagef("--output is one of %s, not %q", strings.Join(Formats(), ", "), s)
}

// WriteList writes records in the format: as a JSON array, a YAML sequence, names, or a
// table. On a terminal the table stands under a head and fits it; elsewhere its cells are
// separated by tabs and there is no head, so that cut and awk can read it.
func WriteList[T any](s Streams, f Format, items []T, columns []Column[T]) error {
	switch f {
	case Names:
		return writeNames(s, items, columns)
	case Table:
	default:
		if items == nil {
			items = []T{}
		}
		return s.WriteValue(f, items)
	}
	g := gridOf(s, items, columns)
	if s.OutTerminal && len(items) > 0 {
		return s.write([]byte(g.write(s)))
	}
	var b strings.Builder
	for _, row := range g.rows {
		b.WriteString(strings.Join(row, "\t") + "\n")
	}
	return s.write([]byte(b.String()))
}

// WriteRecord writes one record: as an object, its name, or as lines of head and value. Columns
// without a value are left out.
func WriteRecord[T any](s Streams, f Format, item T, columns []Column[T]) error {
	switch f {
	case Names:
		return writeNames(s, []T{item}, columns)
	case Table:
	default:
		return s.WriteValue(f, item)
	}
	g := gridOf(s, []T{item}, columns)
	if s.OutTerminal {
		return s.write([]byte(g.blocks(s)))
	}
	var b strings.Builder
	for i, cell := range g.rows[0] {
		if cell != "" {
			b.WriteString(strings.ToLower(g.heads[i]) + "\t" + cell + "\n")
		}
	}
	return s.write([]byte(b.String()))
}

// gridOf makes the cells of a table.
func gridOf[T any](s Streams, items []T, columns []Column[T]) grid {
	g := grid{}
	for _, c := range columns {
		g.heads, g.ranks = append(g.heads, c.Head), append(g.ranks, c.Rank)
	}
	for _, item := range items {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = c.cell(s, item)
		}
		g.rows = append(g.rows, row)
	}
	if !slices.ContainsFunc(g.ranks, Rank.names) && len(g.ranks) > 0 {
		g.ranks[0] = Name
	}
	return g
}

// writeNames writes what commands name records by, one a line.
func writeNames[T any](s Streams, items []T, columns []Column[T]) error {
	by, ok := namedBy(columns)
	if !ok {
		return s.WriteValue(Names, items)
	}
	var b strings.Builder
	for _, item := range items {
		b.WriteString(by.cell(s, item) + "\n")
	}
	return s.write([]byte(b.String()))
}

// write writes a result.
func (s Streams) write(data []byte) error {
	if _, err := s.Out.Write(data); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// named is what the JSON of a record says that it is named by.
type named struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// namesIn gives the names of the record, or of the records, in a JSON text.
func namesIn(data []byte) (string, error) {
	var all []named
	if err := json.Unmarshal(data, &all); err != nil {
		all = make([]named, 1)
		if err := json.Unmarshal(data, &all[0]); err != nil {
			all[0] = named{}
		}
	}
	var b strings.Builder
	for _, one := range all {
		name := cmp.Or(one.Name, one.ID)
		if name == "" {
			return "", exit.Usagef("there are no names in what this command writes; -o json has all of it")
		}
		b.WriteString(Clean(name) + "\n")
	}
	return b.String(), nil
}

// WriteValue writes v as JSON, what Select makes of it, YAML, or the names in it.
func (s Streams) WriteValue(f Format, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if !s.Compact {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	out := EscapeJSON(b.Bytes())
	var err error
	switch {
	case f == Names:
		var names string
		names, err = namesIn(out)
		out = []byte(names)
	case f == YAML:
		out, err = yamlFromJSON(out)
		if s.Compact { // one of several
			out = append([]byte("---\n"), out...)
		}
	case s.Select != nil:
		out, err = s.Select(out)
	}
	if err != nil {
		return err
	}
	return s.write(out)
}

// WriteLine writes v as one line of JSON, as in a stream of events, or what Select makes of it.
func (s Streams) WriteLine(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	out := append(EscapeJSON(data), '\n')
	if s.Select != nil {
		if out, err = s.Select(out); err != nil {
			return err
		}
	}
	return s.write(out)
}
