package store

import (
	"github.com/sipeat/sipeat/shared/events"
)

// OtherContent is the Conflict of an item whose id is taken. It says nothing of the payload: it goes into logs and
// dead letters.
func OtherContent(eventType, id string) error {
	return events.Errorf(events.Conflict,
		"%s %q is kept already, with other content: the first stays as it is; if this one is meant too, send it under another id", eventType, events.LogID(id))
}

// Missing is the NotFound of an item.
func Missing(id string) error {
	return events.Errorf(events.NotFound, "nothing is known under the id %q (yet)", events.LogID(id))
}

// NotBuilding is the Conflict of a generation that is not the one being built (0 = none).
func NotBuilding(generation, building int) error {
	if building == 0 {
		return events.Errorf(events.Conflict, "generation %d is not being built, and no other is", generation)
	}
	return events.Errorf(events.Conflict, "generation %d is not being built, %d is", generation, building)
}

// AlreadyBuilding is the Conflict of a build that would be the second.
func AlreadyBuilding(building int) error {
	return events.Errorf(events.Conflict, "generation %d is being built already: switch to it or abandon it first", building)
}
