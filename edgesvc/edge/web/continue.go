package web

import (
	"io"
	"reflect"
	"sync"
)

// continueField finds out whether the client of a stream waits for 100 Continue.
// net/http's server of HTTP/2 says it when the body is first read, so all that is
// needed is to read no sooner than the workload wants it. But it takes Expect out
// of the header, and what is left of it is a field of its body that it doesn't
// export; to read the body of every client late would hang all those that never
// asked. The field is looked at here, not changed. Where a later net/http has none of
// that name nobody seems to wait, and 100 is said too soon, as net/http does; a
// test tells.
type continueField struct {
	once  sync.Once
	of    reflect.Type // of the bodies that have it, or nil
	index int
}

// continues reports whether reading the body will say 100 Continue.
func (f *continueField) continues(body io.ReadCloser) bool {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false
	}
	v = v.Elem()
	f.once.Do(func() {
		if field, ok := v.Type().FieldByName("needsContinue"); ok && field.Type.Kind() == reflect.Bool && len(field.Index) == 1 {
			f.of, f.index = v.Type(), field.Index[0]
		}
	})
	return f.of == v.Type() && v.Field(f.index).Bool()
}
