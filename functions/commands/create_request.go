package commands

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// CreateRequest answers POST /requests: a customer requests drinks.
func (c Commands) CreateRequest(ctx context.Context, command web.Command[events.Request]) (web.Accepted, error) {
	return publish(ctx, c, events.RequestCreated{Request: command.Body}, command.Seed)
}
