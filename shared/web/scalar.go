package web

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

func readString(r *reader, v reflect.Value) error {
	raw, err := r.scalar('"')
	switch {
	case raw == nil:
	case r.text != "" && bytes.IndexByte(raw, '\\') < 0:
		end := int(r.dec.InputOffset())
		v.SetString(r.text[end-len(raw)+1 : end-1])
	default:
		v.SetString(string(unquoted(raw)))
	}
	return err
}

func readBool(r *reader, v reflect.Value) error {
	if k := r.dec.PeekKind(); k != 't' && k != 'f' {
		return r.wrongKind("true or false")
	}
	token, err := r.dec.ReadToken()
	if err == nil {
		v.SetBool(token.Bool())
	}
	return err
}

func readNumber(r *reader, v reflect.Value) error {
	raw, err := r.scalar('0')
	if raw == nil {
		return err
	}
	bits := v.Type().Bits()
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(string(raw), bits)
		if err != nil {
			return r.fault("is a number that is too large")
		}
		v.SetFloat(f)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(string(raw), 10, bits)
		if err != nil {
			return r.fault(fmt.Sprintf("must be a whole number of at most %d bits, written without fraction and exponent", bits))
		}
		v.SetInt(i)
	default:
		u, err := strconv.ParseUint(string(raw), 10, bits)
		if err != nil {
			return r.fault(fmt.Sprintf("must be a whole number, not negative, of at most %d bits, written without fraction and exponent", bits))
		}
		v.SetUint(u)
	}
	return nil
}

func readUnmarshaler(r *reader, v reflect.Value) error {
	if r.dec.PeekKind() == 'n' { // UnmarshalJSON ignores it by convention, which would hide it
		return r.wrongKind("a value")
	}
	raw, err := r.raw()
	if err != nil {
		return err
	}
	if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(raw); err != nil {
		return r.fault(err.Error())
	}
	return nil
}

func readTextUnmarshaler(r *reader, v reflect.Value) error {
	raw, err := r.scalar('"')
	if raw == nil {
		return err
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(unquoted(raw)); err != nil {
		return r.fault(err.Error())
	}
	return nil
}
