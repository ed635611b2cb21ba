package commands

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// CreateMachine answers POST /machines: an operator registers a vending machine.
func (c Commands) CreateMachine(ctx context.Context, command web.Command[events.Machine]) (web.Accepted, error) {
	return publish(ctx, c, events.MachineCreated{Machine: command.Body}, command.Seed)
}
