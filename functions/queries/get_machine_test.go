package queries_test

import (
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestGetMachine(t *testing.T) {
	m := open(t)
	id := given(m, consumers.OnMachineCreated{Consumers: m.Consumers}.Project, events.MachineCreated{Machine: lobby})
	data, fields := getBy(t, id, m.GetMachine)
	assert.Equal(t, lobby, data.Machine)
	assert.Equal(t, "Berlin", fields["city"])
}
