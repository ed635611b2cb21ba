package cli

import (
	"testing"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
)

func TestTopicsAreJudged(t *testing.T) {
	there, missing := kafka.TopicState{Exists: true}, kafka.TopicState{}
	differs := kafka.TopicState{Exists: true, Differences: make([]kafka.Difference, 2)}
	assert.NoError(t, judgeTopics([]kafka.TopicState{there, there}, true))
	assert.NoError(t, judgeTopics([]kafka.TopicState{there, differs}, false))
	assert.ErrorContains(t, judgeTopics([]kafka.TopicState{there, missing, differs}, true), "2 of 3 topics are missing or differ")
	assert.ErrorContains(t, judgeTopics([]kafka.TopicState{there, {Created: true}}, false), "not visible on all brokers yet")
}

func TestRetention(t *testing.T) {
	for ms, text := range map[string]string{
		"-1": "unlimited", "604800000": "7 days", "86400000": "1 day", "3600000": "1h0m0s", "": "?",
	} {
		assert.Equal(t, text, retention(ms))
	}
}
