// Package jq applies an expression of jq to the JSON of a result, as --jq asks for.
//
// What may not live here: commands, and what their results are. It imports cli/exit, the domain
// and cli/terminal; cli imports it, and it alone the interpreter.
package jq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// maxExpression is how long an expression may be: it is typed.
	maxExpression = 16 << 10
	// maxTime is how long an expression may take for one result.
	maxTime = 10 * time.Second
	// maxMemory is how much memory the program may have in use meanwhile, so that an expression
	// without an end doesn't take all that the machine has.
	maxMemory = 512 << 20
	// maxWritten is how much may come of one result.
	maxWritten = 64 << 20
	// lookEvery is how often the memory in use is looked at.
	lookEvery = 20 * time.Millisecond
)

// Expression is one that was read.
type Expression struct {
	code *gojq.Code
	// Pretty writes JSON over several lines and makes texts safe, as for a terminal.
	Pretty bool
	// memory is how much may be in use.
	memory uint64
}

// Parse reads an expression. It sees no variables of the environment, and no files.
func Parse(text string) (*Expression, error) {
	if len(text) > maxExpression {
		return nil, exit.Usagef("--jq is an expression of %d bytes at most", maxExpression)
	}
	query, err := gojq.Parse(text)
	if err != nil {
		at := ""
		if e, ok := errors.AsType[*gojq.ParseError](err); ok && e.Offset <= len(text) {
			at = " at the end"
			if before := max(0, e.Offset-len(e.Token)); e.Token != "" {
				at = fmt.Sprintf(" at %q", text[before:min(len(text), before+20)])
			}
		}
		return nil, unreadable(err.Error() + at)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, unreadable(err.Error())
	}
	return &Expression{code: code, memory: maxMemory}, nil
}

func unreadable(why string) error {
	e := exit.Usagef("--jq: %s", terminal.Clean(why))
	e.Hint = "mezu help scripting has examples; expressions are those of jq"
	return e
}

var (
	errMemory  = fmt.Errorf("it takes more than %d MiB", maxMemory>>20)
	errTime    = fmt.Errorf("it takes more than %v", maxTime)
	errWritten = fmt.Errorf("it writes more than %d MiB", maxWritten>>20)
)

// Apply gives what the expression makes of a JSON text: each text as it is, an empty line for
// null, and all else as JSON, each on a line of its own.
func (x *Expression) Apply(ctx context.Context, data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("decoding the result for --jq: %w", err)
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(maxTime, func() { cancel(errTime) })
	defer late.Stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		x.watchMemory(running, cancel)
	}()
	defer func() { cancel(nil); <-watched }()
	var out bytes.Buffer
	results := x.code.RunWithContext(running, value)
	for {
		result, more := results.Next()
		if !more {
			return out.Bytes(), nil
		}
		if err, failed := result.(error); failed {
			if halt, ok := errors.AsType[*gojq.HaltError](err); ok && halt.Value() == nil {
				return out.Bytes(), nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if cause := context.Cause(running); cause != nil {
				err = cause
			}
			return nil, failedOf(err)
		}
		if err := x.write(&out, result); err != nil {
			return nil, failedOf(err)
		}
		if out.Len() > maxWritten {
			return nil, failedOf(errWritten)
		}
	}
}

// failedOf is the error of an expression that doesn't fit what it is applied to.
func failedOf(err error) error {
	return &mezu.Error{Code: mezu.CodeInternal, Detail: "--jq: " + terminal.Clean(err.Error()), Hint: "-o json shows what the expression gets", Cause: err}
}

// watchMemory ends an expression that takes too much.
func (x *Expression) watchMemory(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	used := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if metrics.Read(used); used[0].Value.Uint64() > x.memory {
				cancel(errMemory)
				return
			}
		}
	}
}

// write writes one result.
func (x *Expression) write(out *bytes.Buffer, result any) error {
	switch result := result.(type) {
	case nil:
	case string:
		if !x.Pretty {
			out.WriteString(result)
			break
		}
		for i, line := range strings.Split(strings.ReplaceAll(result, "\t", "    "), "\n") {
			if i > 0 {
				out.WriteByte('\n')
			}
			out.WriteString(terminal.Clean(line))
		}
	default:
		data, err := gojq.Marshal(result)
		if err != nil {
			return err
		}
		data = terminal.EscapeJSON(data)
		if !x.Pretty {
			out.Write(data)
		} else if err := json.Indent(out, data, "", "  "); err != nil {
			return err
		}
	}
	out.WriteByte('\n')
	return nil
}
