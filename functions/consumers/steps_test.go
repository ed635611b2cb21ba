package consumers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/events"
)

// groups are kept: their offsets are those of the TypeScript app.
var groups = map[string]string{
	"contact-created": "sipeat-contact-consumer", "machine-created": "sipeat-machine-consumer",
	"request-created": "sipeat-request-consumer", "notification": "sipeat-notification-consumer",
}

// TestANewTypeInThreeSteps names a forgotten step of README's instructions, for the steps in this package. The test of the same
// name in shared/events covers the rest.
func TestANewTypeInThreeSteps(t *testing.T) {
	functions := consumers.Consumers{}.Functions()
	assert.Len(t, functions, len(events.Catalogue()), "functions/consumers/functions.go lists a consumer twice")
	used := map[string]bool{}
	for _, d := range events.Catalogue() {
		i := slices.IndexFunc(functions, func(f consumers.Function) bool { return f.Consumer.Topic == d.Topic })
		if i < 0 {
			t.Errorf("steps 2 and 3: nothing handles %s: write its consumer in functions/consumers/%s.go, as contact_created.go does, "+
				"and list it in functions.go", d.Topic, strings.ReplaceAll(d.Topic, "-", "_"))
			continue
		}
		f := functions[i]
		assert.Equal(t, d.Topic, f.Name, "a consumer has the name of its topic")
		assert.False(t, used[f.Consumer.Group], "two consumers in group %s would compete for events", f.Consumer.Group)
		used[f.Consumer.Group] = true
		assert.Equal(t, [2]string{d.Topic, f.Consumer.Group}, [2]string{f.Replay.Topic, f.Replay.Group})
		if kept := groups[d.Topic]; kept != "" {
			assert.Equal(t, kept, f.Consumer.Group)
		}
	}
}
