// Two functions in Go that do for `POST /orders` what orders and products do, with the same commands, documents and
// answer. The name of the function says which one it is. It writes no log, no metrics and no traces.
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

func main() {
	ctx := context.Background()
	database, err := connect(ctx)
	if err != nil {
		panic(err)
	}
	writer, err := strconv.Atoi(os.Getenv("WRITER"))
	if err != nil {
		panic(err)
	}
	switch name := os.Getenv("AWS_LAMBDA_FUNCTION_NAME"); name {
	case "orders":
		lambda.Start(newOrders(database, int32(writer)).answer)
	case "products":
		lambda.Start(newProducts(database, int32(writer)).hold)
	default:
		panic("no such function: " + name)
	}
}

// connect connects with the concerns that the functions have.
func connect(ctx context.Context) (*mongo.Database, error) {
	uri := os.Getenv("MONGO_URI")
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, err
	}
	journaled := true
	concern := &writeconcern.WriteConcern{W: "majority", Journal: &journaled}
	client, err := mongo.Connect(options.Client().ApplyURI(uri).
		SetServerSelectionTimeout(5 * time.Second).
		SetConnectTimeout(3 * time.Second).
		SetMaxConnIdleTime(time.Minute).
		SetWriteConcern(concern).
		SetReadConcern(readconcern.Majority()))
	if err != nil {
		return nil, err
	}
	return client.Database(parsed.Database), client.Ping(ctx, nil)
}

// invoke calls a function through Lambda's Invoke API. The request is signed as AWS asks for.
func invoke(ctx context.Context, function string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	path := "/2015-03-31/functions/" + function + "/invocations"
	call, err := http.NewRequestWithContext(ctx, "POST", os.Getenv("AWS_ENDPOINT_URL_LAMBDA")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	call.Header.Set("content-type", "application/octet-stream")
	sign(call, path, body, time.Now().UTC())
	response, err := http.DefaultClient.Do(call)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	payload, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 || response.Header.Get("x-amz-function-error") != "" {
		return fmt.Errorf("%s answered %s: %s", function, response.Status, payload)
	}
	return json.Unmarshal(payload, answer)
}

// sign signs a call with the credentials of the function's role (Signature Version 4).
func sign(call *http.Request, path string, body []byte, at time.Time) {
	const signed = "content-type;host;x-amz-date"
	date, day := at.Format("20060102T150405Z"), at.Format("20060102")
	names, token := signed, os.Getenv("AWS_SESSION_TOKEN")
	headers := "content-type:" + call.Header.Get("content-type") + "\nhost:" + call.URL.Host + "\nx-amz-date:" + date + "\n"
	if token != "" {
		call.Header.Set("x-amz-security-token", token)
		names, headers = names+";x-amz-security-token", headers+"x-amz-security-token:"+token+"\n"
	}
	hash := sha256.Sum256(body)
	canonical := "POST\n" + path + "\n\n" + headers + "\n" + names + "\n" + hex.EncodeToString(hash[:])
	hash = sha256.Sum256([]byte(canonical))
	region := os.Getenv("AWS_REGION")
	scope := day + "/" + region + "/lambda/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(hash[:])
	key := []byte("AWS4" + os.Getenv("AWS_SECRET_ACCESS_KEY"))
	for _, part := range []string{day, region, "lambda", "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	call.Header.Set("x-amz-date", date)
	call.Header.Set("authorization", "AWS4-HMAC-SHA256 Credential="+os.Getenv("AWS_ACCESS_KEY_ID")+"/"+scope+
		", SignedHeaders="+names+", Signature="+hex.EncodeToString(key))
}

// decodeStrictly reads JSON that has these fields, and no others.
func decodeStrictly(text string, into any) error {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}
