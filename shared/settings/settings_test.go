package settings_test

import (
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhoAnnouncesByThemselves(t *testing.T) {
	for said, producers := range map[string][]string{"": {"sipeat-app"}, "shop, kiosk": {"shop", "kiosk"}, "none": nil, "none,shop": {"none", "shop"}} {
		s, err := settings.Read(environment(map[string]string{"ANNOUNCED_BY_PRODUCER": said}))
		require.NoError(t, err)
		assert.Equal(t, producers, s.AnnouncedByProducer, "%q", said)
	}
}

func TestAStoreThatIsNearlyDynamoDBIsNoFile(t *testing.T) {
	for said, fine := range map[string]bool{"dynamodb": true, "dynamo": false, "DynamoDB": false, "./dynamo": true, "dynamodb.db": false, "/var/dynamodb": true} {
		_, err := settings.Read(environment(map[string]string{"STORE": said}))
		if fine {
			assert.NoError(t, err, said)
		} else {
			assert.ErrorContains(t, err, "for example STORE=dynamodb, or STORE=./"+said)
		}
	}
}

func TestTheExampleOfAnAddressHasThePortThatWasSaid(t *testing.T) {
	for said, example := range map[string]string{":8099": "127.0.0.1:8099", "9100": "127.0.0.1:9100", "localhost": "127.0.0.1:9092", "a:b": "127.0.0.1:9092"} {
		assert.ErrorContains(t, settings.Address(said), "for example "+example)
	}
}

func TestNamesAreAllThatCanBeSet(t *testing.T) {
	names := settings.Names()
	assert.Subset(t, names, []string{"KAFKA_BROKERS", "STORE", "AUTH", "AUTH_TOKEN", "JWT_ISSUER", "JWT_SCOPE", "THROTTLE_STAFF_BURST", "METRICS"})
	assert.IsIncreasing(t, names)
}
