// Package queries is the reading side: each function reads the read model. It does not use Kafka.
package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web"
)

// Queries are the dependencies of the functions.
type Queries struct {
	Store  store.Reader
	Claims interface { // of notifications; store.Claims has it
		Deliveries(ctx context.Context, ids ...string) (map[string][]store.Delivery, error)
	}
}

// Functions lists the endpoints. All are for staff, because they show personal data.
func (q Queries) Functions() []web.Function {
	return []web.Function{
		{Name: "get-contact", Route: "GET /contacts/{id}", Handler: web.HandleQuery(q.GetContact), Staff: true},
		{Name: "list-contacts", Route: "GET /contacts", Handler: web.HandleQuery(q.ListContacts), Staff: true},
		{Name: "get-machine", Route: "GET /machines/{id}", Handler: web.HandleQuery(q.GetMachine), Staff: true},
		{Name: "list-machines", Route: "GET /machines", Handler: web.HandleQuery(q.ListMachines), Staff: true},
		{Name: "get-request", Route: "GET /requests/{id}", Handler: web.HandleQuery(q.GetRequest), Staff: true},
		{Name: "list-requests", Route: "GET /requests", Handler: web.HandleQuery(q.ListRequests), Staff: true},
		{Name: "get-notification", Route: "GET /notifications/{id}", Handler: web.HandleQuery(q.GetNotification), Staff: true},
		{Name: "list-notifications", Route: "GET /notifications", Handler: web.HandleQuery(q.ListNotifications), Staff: true},
		{Name: "get-demand", Route: "GET /demand", Handler: web.HandleQuery(q.GetDemand), Staff: true},
	}
}
