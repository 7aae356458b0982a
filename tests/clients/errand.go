// Runs the errand with the client that openapi-generator makes for Go: see tests/it/program/other_generators.rs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"ngoma"
)

const cooperative = "COOP-MBALE-001"

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// told gives the answer of a call that is no refusal.
func told[T any, R any](value T, response R, err error) T {
	var refusal *ngoma.GenericOpenAPIError
	if errors.As(err, &refusal) {
		log.Fatal(string(refusal.Body()))
	}
	return must(value, err)
}

// refusal gives the typed body of a refusal.
func refusal[T any](err error) T {
	var refused *ngoma.GenericOpenAPIError
	if !errors.As(err, &refused) {
		log.Fatalf("no refusal: %v", err)
	}
	body, ok := refused.Model().(T)
	if !ok {
		log.Fatalf("another body: %s", refused.Body())
	}
	return body
}

func client(token string) (*ngoma.APIClient, context.Context) {
	configuration := ngoma.NewConfiguration()
	configuration.Servers = ngoma.ServerConfigurations{{URL: os.Getenv("NGOMA")}}
	return ngoma.NewAPIClient(configuration), context.WithValue(context.Background(), ngoma.ContextAccessToken, token)
}

func main() {
	api, as := client(os.Getenv("COOPERATIVE_TOKEN"))
	if health := told(api.HealthAPI.Live(as).Execute()); health.Status != ngoma.HEALTHSTATUS_OK {
		log.Fatal(health.Status)
	}

	input := ngoma.NewWebhookInput(os.Getenv("CALLBACK_URL"), []string{"batch.*"}, cooperative)
	webhook := told(api.AsiliChainAPI.RegisterWebhook(as).WebhookInput(*input).Execute())
	data := must(ngoma.BatchExportedData{BatchId: ngoma.PtrString("BATCH-9"), WeightKg: ngoma.PtrFloat64(62.5)}.ToMap())
	event := ngoma.NewEventInput(ngoma.EVENTNAME_BATCH_EXPORTED, data)
	accepted := told(api.AsiliChainAPI.PublishEvent(as).EventInput(*event).Execute())
	if accepted.Event != ngoma.EVENTNAME_BATCH_EXPORTED || accepted.Deliveries[0].WebhookId != webhook.WebhookId {
		log.Fatalf("%+v", accepted)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		page := told(api.AsiliChainAPI.ListDeliveries(as, webhook.WebhookId).Status(ngoma.DELIVERYSTATUS_DELIVERED).Execute())
		if len(page.Deliveries) == 1 {
			break
		}
		if time.Now().After(end) {
			log.Fatal("it was not delivered")
		}
	}

	var payload ngoma.EventPayload
	if err := json.Unmarshal([]byte(os.Getenv("BODY")), &payload); err != nil {
		log.Fatal(err)
	}
	exported := payload.BatchExportedPayload
	if exported == nil || exported.Data.GetBatchId() != "BATCH-7" || exported.Data.GetTokenId() != 7 {
		log.Fatalf("%+v", payload)
	}

	_, _, err := api.AsiliChainAPI.GetDelivery(as, webhook.WebhookId, "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV").Execute()
	if code := refusal[ngoma.ApiError](err).Error.Code; code != ngoma.ERRORCODE_DELIVERY_NOT_FOUND {
		log.Fatal(code)
	}

	api, as = client(os.Getenv("API_KEY"))
	made := told(api.ASGGatewayAPI.AsgRegisterWebhook(as).AsgWebhookInput(*ngoma.NewAsgWebhookInput(os.Getenv("CALLBACK_URL"))).Execute())
	if listed := told(api.ASGGatewayAPI.AsgListWebhooks(as).Execute()); listed[0].WebhookId != made.WebhookId || !listed[0].Active {
		log.Fatalf("%+v", listed)
	}
	_, _, err = api.ASGGatewayAPI.AsgDeleteWebhook(as, "whk_xxx").Execute()
	fmt.Println(refusal[ngoma.AsgError](err).Error)
}
