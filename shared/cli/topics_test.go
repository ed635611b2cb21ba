package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/bus/kafka"
)

func TestWhatIsAmissWithTopics(t *testing.T) {
	var (
		well    = kafka.TopicState{Exists: true}
		missing = kafka.TopicState{}
		differs = kafka.TopicState{Exists: true, Differences: make([]kafka.Difference, 2)}
	)
	assert.NoError(t, amiss([]kafka.TopicState{well, well}))
	assert.EqualError(t, amiss([]kafka.TopicState{well, missing, differs}), "2 of 3 topics are missing or differ; `sipeat topics` creates what is missing")
	assert.EqualError(t, amiss([]kafka.TopicState{well, differs}), "1 of 2 topics differ; beside each difference stands how to mend it")
}

func TestCreatedTopicsThatAreNotSeenYetAreTold(t *testing.T) {
	states := []kafka.TopicState{{Topic: "seen", Exists: true, Created: true}, {Topic: "slow", Created: true}, {Topic: "there", Exists: true}}
	assert.EqualError(t, unseen(states), "created, but not all brokers show them yet: slow; look again with `sipeat topics --check`")
	assert.NoError(t, unseen(states[:1]))
	var out bytes.Buffer
	assert.NoError(t, (&app{stdout: &out}).showTopics(states))
	assert.Regexp(t, `(?m)^slow .* created, not seen yet$`, out.String())
}
