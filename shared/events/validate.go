package events

import (
	"errors"
	"reflect"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
)

// Validate checks a payload, or a command's input, in full. What is wrong comes back as one Invalid error that names
// every faulty field. It is for what is being written: what comes from a topic is only ever decoded.
func Validate(value any) error {
	err := validation().Struct(value)
	var faults validator.ValidationErrors
	if !errors.As(err, &faults) {
		return err // nil, or a value that is no struct
	}
	invalid := &Error{Kind: Invalid, Message: "some fields are not acceptable"}
	for _, fault := range faults {
		invalid.Fields = append(invalid.Fields, FieldError{Pointer: pointer(fault.Namespace()), Detail: detail(fault)})
	}
	return invalid
}

// embedded stands for an embedded struct in the validator's path, where JSON has no level.
const embedded = "~"

// validation is made on first use, so that a function that only reads events does not pay for it at its start.
var validation = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		if f.Anonymous {
			return embedded
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	v.RegisterCustomTypeFunc(func(f reflect.Value) any { return f.Interface().(Time).String() }, Time{})
	for tag, ok := range map[string]func(string) bool{
		"text": isText, "prose": isProse, "token": isToken, "address": isAddress, "phone": isPhone, "moment": isMoment,
	} {
		if err := v.RegisterValidation(tag, func(f validator.FieldLevel) bool { return ok(f.Field().String()) }); err != nil {
			panic(err) // the names above are wrong
		}
	}
	return v
})

// pointer turns the validator's "RequestCreated.~.drinksList[2]" into the JSON pointer "/drinksList/2".
func pointer(namespace string) string {
	_, path, _ := strings.Cut(namespace, ".")
	path = strings.ReplaceAll(path, embedded+".", "")
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(path)
}

// detail says what is wrong with a field and what to do, without what stands in it.
func detail(fault validator.FieldError) string {
	text, isString := fault.Value().(string)
	if isString && isBlank(text) && fault.Tag() != "oneof" {
		if text == "" {
			return "is required: it must not be empty or blank"
		}
		return "is blank: it must hold something that can be seen"
	}
	isList := fault.Kind() == reflect.Slice
	switch fault.Tag() {
	case "max":
		if isList {
			return "has more than " + fault.Param() + " entries: send at most " + fault.Param()
		}
		return "is longer than " + fault.Param() + " characters: shorten it"
	case "min":
		return "needs at least " + fault.Param() + " entry"
	case "oneof":
		return "must be one of: " + strings.ReplaceAll(fault.Param(), " ", ", ")
	case "text":
		return "must be one line of text: without line breaks, tabs and hidden control characters"
	case "prose":
		return "must be text: without control characters other than line breaks and tabs"
	case "token", "address", "phone":
		if strings.ContainsFunc(text, func(r rune) bool { return r != ' ' && isHidden(r) }) {
			return "holds line breaks or hidden characters: type it in instead of pasting it"
		}
	}
	switch fault.Tag() {
	case "token":
		return "must be an id: visible characters without spaces"
	case "address":
		return "must be one e-mail address, such as ada@example.com, with nothing before or behind it"
	case "phone":
		return "must be one phone number of 4 to 17 digits, such as +49 30 1234567 or +49 30 1234567 ext. 12"
	case "moment":
		return "must be a moment in the years 0 to 9999"
	default:
		return "does not satisfy " + fault.Tag()
	}
}
