package events_test

import (
	"reflect"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A number may be limited, and nothing else be asked of it.
func TestNumbersHaveLimits(t *testing.T) {
	type refill struct {
		Left  int     `json:"left" validate:"min=0,max=40"`
		Litre float64 `json:"litre" validate:"required,max=2"`
		Cups  []int   `json:"cups" validate:"dive,max=9"`
	}
	assert.NoError(t, events.Validate(refill{Left: 0, Litre: 2, Cups: []int{9}}))
	var e *events.Error
	require.ErrorAs(t, events.Validate(refill{Left: -1, Litre: 2.5, Cups: []int{9, 10}}), &e)
	assert.Equal(t, []events.FieldError{{Pointer: "/left", Detail: "is smaller than 0"}, {Pointer: "/litre", Detail: "is larger than 2"}, {Pointer: "/cups/1", Detail: "is larger than 9"}}, e.Fields)
	require.ErrorAs(t, events.Validate(refill{Left: 41}), &e)
	assert.Equal(t, "is larger than 40", e.Fields[0].Detail)
	assert.Equal(t, "/litre", e.Fields[1].Pointer)

	for says, value := range map[string]any{
		`the rule "text" is not for a int`: struct {
			A int `validate:"min=1,text"`
		}{},
		`the rule "min=1" is not for a bool`: struct {
			A bool `validate:"min=1"`
		}{},
		`the rule "dive" is not for a string`: struct {
			A string `validate:"dive"`
		}{},
		`the rule "phone" is not for a []string`: struct {
			A []string `validate:"phone"`
		}{},
	} {
		assert.PanicsWithValue(t, "events: "+reflect.TypeOf(value).String()+".A: "+says, func() { _ = events.Validate(value) })
	}
}
