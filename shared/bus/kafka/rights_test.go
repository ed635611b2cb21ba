package kafka_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The error of a missing right names the action as a policy spells it.
func TestRightsOfMSKAreNamed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	asked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, call := range regexp.MustCompile(`denied\(cluster, "([a-z ]+)", "([A-Za-z]+)", "([a-z]+)"`).
			FindAllStringSubmatch(string(text), -1) {
			asked++
			err := kafka.Denied(settings.Kafka{Mechanism: settings.AWSMSKIAM}, call[1], call[2], call[3], "drinks")
			assert.Regexp(t,
				`^the AWS identity may not .+ drinks: its policy has to allow (kafka-cluster:[A-Za-z]+( and )?)+ there$`, err.Error())
		}
	}
	assert.GreaterOrEqual(t, asked, 8)
}
