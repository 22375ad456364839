package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/golang-jwt/jwt/v5"
)

const (
	skew     = 30 * time.Second
	lifetime = 15 * time.Minute
	// fresh is the time for which keys are used before they are fetched again.
	fresh = 45 * time.Second
)

// caller is somebody whose token is verified.
type caller struct {
	user   uuid
	role   string
	until  time.Time
	signer string
}

type claims struct {
	Role string `json:"role"`
	jwt.RegisteredClaims
}

// verifier verifies tokens with keys of the function users. It remembers what it has verified.
type verifier struct {
	lock     sync.Mutex
	keys     map[string]ed25519.PublicKey
	fetched  time.Time
	verified map[[32]byte]caller
}

func newVerifier() *verifier {
	return &verifier{verified: map[[32]byte]caller{}}
}

func (v *verifier) caller(ctx context.Context, authorization string) (caller, error) {
	scheme, token, is := strings.Cut(authorization, " ")
	if !is || !strings.EqualFold(scheme, "bearer") || len(token) > 1024 {
		return caller{}, errors.New("not a bearer token")
	}
	v.lock.Lock()
	defer v.lock.Unlock()
	now := time.Now()
	if now.Sub(v.fetched) > fresh {
		if err := v.fetch(ctx, now); err != nil {
			return caller{}, err
		}
	}
	hash := sha256.Sum256([]byte(token))
	if known, is := v.verified[hash]; is && v.keys[known.signer] != nil {
		if !now.Before(known.until) {
			return caller{}, errors.New("the token has expired")
		}
		return known, nil
	}
	read, err := v.verify(token)
	if err != nil {
		return caller{}, err
	}
	if len(v.verified) >= 10_000 {
		clear(v.verified)
	}
	v.verified[hash] = read
	return read, nil
}

func (v *verifier) verify(token string) (caller, error) {
	var read claims
	var signer string
	key := func(token *jwt.Token) (any, error) {
		typ, _ := token.Header["typ"].(string)
		signer, _ = token.Header["kid"].(string)
		if len(token.Header) != 3 || !strings.EqualFold(typ, "at+jwt") || v.keys[signer] == nil {
			return nil, errors.New("an unexpected header")
		}
		return v.keys[signer], nil
	}
	_, err := jwt.ParseWithClaims(token, &read, key, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("oms"),
		jwt.WithAudience("oms-api"), jwt.WithExpirationRequired(), jwt.WithLeeway(skew))
	if err != nil {
		return caller{}, err
	}
	if read.IssuedAt == nil || read.ExpiresAt.Sub(read.IssuedAt.Time) > lifetime || read.ID == "" {
		return caller{}, errors.New("unexpected claims")
	}
	switch read.Role {
	case "customer", "staff", "admin":
	default:
		return caller{}, errors.New("an unknown role")
	}
	user, err := parseTyped("user", read.Subject)
	return caller{user, read.Role, read.ExpiresAt.Time, signer}, err
}

// fetch asks users for its keys, as API Gateway would.
func (v *verifier) fetch(ctx context.Context, now time.Time) error {
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
			X   string `json:"x"`
		} `json:"keys"`
	}
	request := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "$default", RawPath: "/.well-known/jwks.json", Headers: map[string]string{"host": "local"},
	}
	request.RequestContext.HTTP.Method, request.RequestContext.HTTP.Path = "GET", request.RawPath
	request.RequestContext.HTTP.Protocol, request.RequestContext.HTTP.SourceIP = "HTTP/1.1", "192.0.2.1"
	request.RequestContext.Stage, request.RequestContext.RequestID = "$default", "keys"
	var answer events.APIGatewayV2HTTPResponse
	if err := invoke(ctx, "users", request, &answer); err != nil {
		return err
	}
	body := []byte(answer.Body)
	if answer.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(answer.Body)
		if err != nil {
			return err
		}
		body = decoded
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return err
	}
	keys := map[string]ed25519.PublicKey{}
	for _, key := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(key.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return errors.New("not a public key")
		}
		keys[key.Kid] = x
	}
	v.keys, v.fetched = keys, now
	return nil
}
