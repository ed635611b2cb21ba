package web

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A shape reads the next JSON value into v, which is zero. It reports what is faulty to the reader and goes on; it
// returns an error only when nothing more can be read. Shapes are made once per type, when the handler is made.
type shape func(r *reader, v reflect.Value) error

// structShape is an object's members, by wire name.
type structShape struct {
	members map[string]member
	names   []string // in the order of declaration, for people
}

type member struct {
	bit   uint64 // marks it as seen
	index []int  // for reflect.Value.FieldByIndex
	depth int    // how many embeddings deep
	read  shape
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

var shapes sync.Map // reflect.Type -> *structShape

// shapeOf makes the shape of a body, once per type. It panics on a type that it cannot read strictly: that is a mistake
// in the program, and shows at its start.
func shapeOf(t reflect.Type) *structShape {
	if s, ok := shapes.Load(t); ok {
		return s.(*structShape)
	}
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("web: a body is read into a struct, not into %v", t))
	}
	if reads(t) {
		panic(fmt.Sprintf("web: %v has its own UnmarshalJSON or UnmarshalText (an embedded type's?), so its fields cannot be checked", t))
	}
	s := structOf(t, nil)
	shapes.Store(t, s)
	return s
}

// reads tells whether t reads itself.
func reads(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(jsonUnmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler)
}

func structOf(t reflect.Type, outer []reflect.Type) *structShape {
	for _, o := range outer {
		if o == t {
			panic(fmt.Sprintf("web: %v contains itself: its depth has no bound", t))
		}
	}
	s := &structShape{members: map[string]member{}}
	s.add(t, nil, slices.Concat(outer, []reflect.Type{t}))
	if len(s.members) > 64 {
		panic(fmt.Sprintf("web: %v has more than 64 fields", t))
	}
	return s
}

// add adds t's fields. As in encoding/json an outer field hides an embedded one of its name; two at the same depth, which
// encoding/json drops in silence, are a mistake.
func (s *structShape) add(t reflect.Type, index []int, outer []reflect.Type) {
	depth := len(index)
	for i := range t.NumField() {
		f := t.Field(i)
		at := slices.Concat(index, []int{i})
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if name == "" && f.Anonymous {
			if f.Type.Kind() != reflect.Struct || reads(f.Type) {
				panic(fmt.Sprintf("web: %v.%s is embedded and no plain struct", t, f.Name))
			}
			s.add(f.Type, at, outer)
			continue
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		if strings.Contains(","+options+",", ",string,") {
			panic(fmt.Sprintf("web: %v.%s: the option \"string\" is not supported", t, f.Name))
		}
		if name == "" {
			name = f.Name
		}
		if other, taken := s.members[name]; taken {
			if other.depth == depth {
				panic(fmt.Sprintf("web: %v has two fields named %q", t, name))
			}
			if other.depth < depth {
				continue
			}
			s.members[name] = member{bit: other.bit, index: at, depth: depth, read: fieldOf(t, f, outer)}
			continue
		}
		s.members[name] = member{bit: 1 << len(s.members), index: at, depth: depth, read: fieldOf(t, f, outer)}
		s.names = append(s.names, name)
	}
}

func fieldOf(t reflect.Type, f reflect.StructField, outer []reflect.Type) shape {
	read := valueOf(f.Type, outer)
	if read == nil {
		panic(fmt.Sprintf("web: %v.%s: a %v cannot be read from a body", t, f.Name, f.Type))
	}
	return read
}

func valueOf(t reflect.Type, outer []reflect.Type) shape {
	switch ptr := reflect.PointerTo(t); {
	case t.Kind() == reflect.Pointer:
		return pointerTo(t, outer)
	case ptr.Implements(jsonUnmarshaler):
		return readUnmarshaler
	case ptr.Implements(textUnmarshaler):
		return readTextUnmarshaler
	}
	switch t.Kind() {
	case reflect.String:
		return readString
	case reflect.Bool:
		return readBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return readNumber
	case reflect.Struct:
		return structOf(t, outer).read
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return nil // base64 to one library, a list of numbers to the other
		}
		return sliceOf(t, outer)
	}
	return nil
}

func pointerTo(t reflect.Type, outer []reflect.Type) shape {
	read := valueOf(t.Elem(), outer)
	if read == nil {
		return nil
	}
	return func(r *reader, v reflect.Value) error {
		if r.dec.PeekKind() == 'n' {
			_, err := r.dec.ReadToken()
			return err
		}
		v.Set(reflect.New(t.Elem()))
		return read(r, v.Elem())
	}
}

func sliceOf(t reflect.Type, outer []reflect.Type) shape {
	read := valueOf(t.Elem(), outer)
	if read == nil {
		return nil
	}
	return func(r *reader, v reflect.Value) error {
		if ok, err := r.open('['); !ok {
			return err
		}
		if r.dec.PeekKind() == ']' {
			v.Set(reflect.MakeSlice(t, 0, 0))
		}
		for n := 0; r.dec.PeekKind() != ']'; n++ {
			if n == v.Cap() {
				v.Grow(max(n, 4))
			}
			v.SetLen(n + 1)
			if err := read(r, v.Index(n)); err != nil {
				return err
			}
		}
		_, err := r.dec.ReadToken()
		return err
	}
}

func (s *structShape) read(r *reader, v reflect.Value) error {
	if ok, err := r.open('{'); !ok {
		return err
	}
	var seen uint64
	for {
		kind := r.dec.PeekKind()
		if kind != '"' { // the end, or what ReadToken refuses as a name without descending into it
			_, err := r.dec.ReadToken()
			return err
		}
		raw, err := r.dec.ReadValue()
		if err != nil {
			return err
		}
		m, known := s.members[string(unquoted(raw))]
		switch {
		case !known:
			err = r.refuse(s.unknown(raw))
		case seen&m.bit != 0:
			err = r.refuse("is there twice; send it once")
		case len(m.index) == 1:
			err = m.read(r, v.Field(m.index[0]))
		default:
			err = m.read(r, v.FieldByIndex(m.index))
		}
		if err != nil {
			return err
		}
		seen |= m.bit
	}
}

// unknown says what to do about a name that is no field, without repeating it.
func (s *structShape) unknown(raw jsontext.Value) string {
	for _, name := range s.names {
		if strings.EqualFold(name, string(unquoted(raw))) {
			return "is no field of this request; " + name + " is, in this case"
		}
	}
	return "is no field of this request; there are " + strings.Join(s.names, ", ")
}
