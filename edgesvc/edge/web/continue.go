package web

import (
	"io"
	"reflect"
	"sync"
)

// continueField finds out whether the client of a stream waits for 100 Continue.
//
// net/http's server of HTTP/2 sends 100 when the body is first read. So it is enough to
// read no sooner than the workload wants the body. But this may be done only for clients
// that asked: all others would hang. net/http takes Expect out of the header, and keeps it
// in a field of the body that it doesn't export. That field is looked at here, and not
// changed. Should a later net/http have no field of that name, nobody seems to wait, and
// 100 is sent too soon; a test tells.
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
