package wire

import (
	"encoding"
	"errors"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"coffre/domain"
)

// ParamLocationPath and ParamLocationHeader name the place of a parameter in the
// generated code.
const (
	ParamLocationPath   = "path"
	ParamLocationHeader = "header"
)

// BindStyledParameterOptions holds the contract's declaration of a path or header
// parameter. The generated code fills it; only the destination's Go type decides how the
// parameter is read.
type BindStyledParameterOptions struct {
	ParamLocation    string
	Explode          bool
	Required         bool
	Type             string
	Format           string
	ValueIsUnescaped bool
}

// BindQueryParameterOptions holds the contract's declaration of a query parameter; the
// generated code fills it.
type BindQueryParameterOptions struct {
	Type   string
	Format string
}

// RequiredParameterError reports that a required parameter is absent.
type RequiredParameterError struct{ ParamName string }

func (e *RequiredParameterError) Error() string { return "parameter " + e.ParamName + " is required" }

var (
	errBadParameter = errors.New("parameter does not fit its schema")
	errRepeated     = errors.New("parameter is repeated")
	errTarget       = errors.New("parameter has a type that is not supported")
)

// BindStyledParameterWithOptions reads one path or header parameter into dest, a pointer.
// Its error holds no value.
func BindStyledParameterWithOptions(_, _, value string, dest any, _ BindStyledParameterOptions) error {
	return bind(value, reflect.ValueOf(dest).Elem())
}

// BindQueryParameterWithOptions reads a query parameter into dest, a pointer: a slice
// takes every occurrence, any other type exactly one. An absent parameter leaves dest
// unchanged, and is a RequiredParameterError when it is required. A pointer is nil for a
// parameter that is absent, and only then.
func BindQueryParameterWithOptions(_ string, _, required bool, name string, query url.Values, dest any, _ BindQueryParameterOptions) error {
	values, target := query[name], reflect.ValueOf(dest).Elem()
	switch {
	case len(values) == 0 && required:
		return &RequiredParameterError{name}
	case len(values) == 0:
		return nil
	case target.Kind() == reflect.Slice:
		out := reflect.MakeSlice(target.Type(), len(values), len(values))
		for i, v := range values {
			if err := bind(v, out.Index(i)); err != nil {
				return err
			}
		}
		target.Set(out)
		return nil
	case len(values) > 1:
		return errRepeated
	}
	return bind(values[0], target)
}

func bind(value string, target reflect.Value) error {
	if target.Kind() == reflect.Pointer {
		given := reflect.New(target.Type().Elem())
		if err := bind(value, given.Elem()); err != nil {
			return err
		}
		target.Set(given)
		return nil
	}
	if t, ok := target.Addr().Interface().(*time.Time); ok {
		var err error
		if *t, err = domain.ParseTime(value); err != nil {
			return errBadParameter
		}
		return nil
	}
	if text, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if text.UnmarshalText([]byte(value)) != nil {
			return errBadParameter
		}
		return nil
	}
	switch target.Kind() {
	case reflect.String:
		target.SetString(value)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(value, 10, target.Type().Bits())
		if err != nil {
			return errBadParameter
		}
		target.SetInt(n)
	default:
		return errTarget
	}
	return nil
}
