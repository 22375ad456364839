//! The catalogue of problem types, as pages and as JSON.

use http::Method;
use shared::error::Kind;
use tests::shop::Shop;

#[tokio::test]
async fn the_type_of_a_problem_leads_to_what_it_means() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    let list = anyone.get("/problems").await.expect(200);
    assert_eq!(list.data().len(), Kind::ALL.len());
    for (entry, kind) in list.data().iter().zip(Kind::ALL) {
        let path = entry["type"].as_str().unwrap();
        assert_eq!(path, format!("/problems/{}", kind.slug()));
        assert_eq!(
            (&entry["title"], &entry["status"]),
            (&kind.title().into(), &kind.status().as_u16().into())
        );
        let answer = anyone.get(path).await.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(&answer.body, entry);
        for text in ["meaning", "what_to_do"] {
            assert!(entry[text].as_str().is_some_and(|text| text.len() > 20), "{path}");
        }
        // The example is a problem of the type.
        let example = &entry["example"];
        assert_eq!((&example["type"], &example["title"]), (&entry["type"], &entry["title"]));
    }
    let refused = anyone.get("/orders").await.expect(401).text("type");
    assert_eq!(anyone.get(&refused).await.expect(200)["status"], 401);
}

#[tokio::test]
async fn people_get_a_page_and_programs_json() {
    let shop = Shop::open().await;
    let anyone = shop.anyone();
    for (path, words) in [("/problems", "insufficient-stock"), ("/problems/insufficient-stock", "What to do")]
    {
        let request = anyone.request(Method::GET, path).header("accept", "text/html, */*;q=0.8");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
        assert!(answer.headers().contains_key("content-security-policy"));
        assert_eq!(answer.headers()["vary"], "accept");
        let page = answer.text().await.unwrap();
        assert!(page.contains(words), "{page}");
    }
    for unknown in ["/problems/nothing", "/problems/Validation"] {
        anyone.get(unknown).await.problem(404, "not-found");
        // There is no page of it either.
        let request = anyone.request(Method::GET, unknown).header("accept", "text/html");
        anyone.answer(request).await.problem(404, "not-found");
    }
}
