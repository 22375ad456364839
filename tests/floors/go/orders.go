package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

type orders struct {
	collection *mongo.Collection
	verifier   *verifier
	writer     int32
}

func newOrders(database *mongo.Database, writer int32) *orders {
	return &orders{database.Collection("orders"), newVerifier(), writer}
}

// problem is an error of a client.
type problem struct {
	status int
	Title  string       `json:"title"`
	Errors []fieldError `json:"errors,omitempty"`
}

func (p *problem) Error() string { return p.Title }

func (o *orders) answer(ctx context.Context, event events.APIGatewayV2HTTPRequest) (*events.APIGatewayV2HTTPResponse, error) {
	answer, err := o.place(ctx, &event)
	var refused *problem
	if errors.As(err, &refused) {
		body, err := json.Marshal(refused)
		headers := map[string]string{
			"content-type": "application/problem+json", "x-request-id": event.RequestContext.RequestID,
		}
		return response(refused.status, headers, body), err
	}
	if answer != nil {
		answer.Headers["x-request-id"] = event.RequestContext.RequestID
	}
	return answer, err
}

// place places an order: one read and two writes, the hold and the order.
func (o *orders) place(ctx context.Context, event *events.APIGatewayV2HTTPRequest) (*events.APIGatewayV2HTTPResponse, error) {
	if event.RequestContext.HTTP.Method != "POST" || event.RawPath != "/orders" {
		return nil, &problem{status: 404, Title: "no such path"}
	}
	caller, err := o.verifier.caller(ctx, event.Headers["authorization"])
	if err != nil {
		return nil, &problem{status: 401, Title: err.Error()}
	}
	if kind, _, _ := strings.Cut(event.Headers["content-type"], ";"); kind != "application/json" {
		return nil, &problem{status: 415, Title: "send JSON"}
	}
	body := event.Body
	if event.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			return nil, err
		}
		body = string(decoded)
	}
	key := event.Headers["idempotency-key"]
	if key == "" || len(key) > 255 || strings.ContainsFunc(key, func(it rune) bool { return it <= ' ' || it > '~' }) {
		return nil, &problem{status: 400, Title: "send an Idempotency-Key"}
	}
	var form orderForm
	if err := decodeStrictly(body, &form); err != nil {
		return nil, &problem{status: 400, Title: err.Error()}
	}
	if errors := form.check(); len(errors) > 0 {
		return nil, &problem{422, "validation", errors}
	}
	print, err := fingerprint(body)
	if err != nil {
		return nil, &problem{status: 400, Title: err.Error()}
	}
	attempt := binary.BigEndian.AppendUint64(nil, 0)
	id := derived([]byte("order "), caller.user[:], print, attempt, []byte(key))
	placedUnder := bson.D{{"placed_under.caller", caller.user.binary()}, {"placed_under.key", key}}
	placed := bson.D{{"$or", bson.A{placedUnder, bson.D{{"_id", id.binary()}}}}}
	if there, err := o.find(ctx, placed); err != nil || there != nil {
		return replay(there, print, err)
	}

	product := form.Items[0]
	request := holdRequest{Order: id.typed("order"), Revision: 1}
	request.Items = append(request.Items, struct {
		Product  string `json:"product_id"`
		Quantity int64  `json:"quantity"`
	}{*product.Product, *product.Quantity})
	var held holdAnswer
	if err := invoke(ctx, "products", request, &held); err != nil {
		return nil, err
	}
	if len(held.Products) != 1 || held.Products[0].Product != *product.Product {
		return nil, errors.New("other products are held")
	}

	order, err := newOrder(id, caller.user, key, print, &form, &held.Products[0], o.writer)
	if err != nil {
		return nil, err
	}
	if _, err := o.collection.InsertOne(ctx, order); mongo.IsDuplicateKeyError(err) {
		there, err := o.find(ctx, placed)
		if err == nil && there == nil {
			err = errors.New("the number is taken")
		}
		return replay(there, print, err)
	} else if err != nil {
		return nil, err
	}
	return created(order)
}

func (o *orders) find(ctx context.Context, filter bson.D) (*orderDocument, error) {
	found, err := o.collection.Find(ctx, filter)
	if err != nil {
		return nil, err
	}
	var all []*orderDocument
	if err := found.All(ctx, &all); err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

func replay(order *orderDocument, print []byte, err error) (*events.APIGatewayV2HTTPResponse, error) {
	if err != nil {
		return nil, err
	}
	if order.PlacedUnder == nil || string(order.PlacedUnder.Fingerprint.Data) != string(print) {
		return nil, &problem{status: 422, Title: "this Idempotency-Key was used with another body"}
	}
	return created(order)
}

// created is the answer with an order.
func created(order *orderDocument) (*events.APIGatewayV2HTTPResponse, error) {
	body, err := json.Marshal(order.view())
	headers := map[string]string{
		"content-type": "application/json",
		"location":     "/orders/" + uuidOf(order.ID).typed("order"),
		"etag":         `"1"`,
	}
	return response(201, headers, body), err
}

// response has empty lists where the small Lambda takes no null.
func response(status int, headers map[string]string, body []byte) *events.APIGatewayV2HTTPResponse {
	return &events.APIGatewayV2HTTPResponse{
		StatusCode: status, Headers: headers, Body: string(body), MultiValueHeaders: map[string][]string{}, Cookies: []string{},
	}
}

// fingerprint hashes a body, whatever the order of its keys and its white space.
func fingerprint(body string) ([]byte, error) {
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		return nil, err
	}
	canonical, err := json.Marshal(value)
	hash := sha256.Sum256(canonical)
	return hash[:], err
}

// number makes an order number: 8 random characters of Crockford's base32.
func number() string {
	var random [8]byte
	rand.Read(random[:])
	text := make([]byte, 0, 9)
	for place, byte := range random {
		if place == 4 {
			text = append(text, '-')
		}
		text = append(text, base32[byte&31])
	}
	return strings.ToUpper(string(text))
}

// millis is a time as MongoDB keeps it.
func millis(at time.Time) bson.DateTime { return bson.NewDateTimeFromTime(at) }
