package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/bus/kafka"
)

func TestTopicsMissingOrDifferent(t *testing.T) {
	var (
		well    = kafka.TopicState{Exists: true}
		missing = kafka.TopicState{}
		differs = kafka.TopicState{Exists: true, Differences: make([]kafka.Difference, 2)}
	)
	assert.NoError(t, judgeTopics([]kafka.TopicState{well, well}, true))
	assert.NoError(t, judgeTopics([]kafka.TopicState{well, differs}, false))
	assert.EqualError(t, judgeTopics([]kafka.TopicState{well, missing, differs}, true),
		"2 of 3 topics are missing or differ; `sipeat topics` creates the missing ones")
	assert.EqualError(t, judgeTopics([]kafka.TopicState{well, differs}, true), "1 of 2 topics differ; see the remedies above")
}

func TestCreatedTopicsThatAreNotVisibleYet(t *testing.T) {
	states := []kafka.TopicState{
		{Topic: "seen", Exists: true, Created: true}, {Topic: "slow", Created: true}, {Topic: "there", Exists: true},
	}
	assert.EqualError(t, judgeTopics(states, false), "created, but not visible on all brokers yet: slow; run `sipeat topics --check`")
	assert.NoError(t, judgeTopics(states[:1], false))
	var out bytes.Buffer
	assert.NoError(t, (&app{stdout: &out}).showTopics(states))
	assert.Regexp(t, `(?m)^slow .* created, not visible yet$`, out.String())
}
