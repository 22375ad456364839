//! The tables of limits in `docs/api.md`, from the OpenAPI document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The limits of all fields that clients send: a table of texts, of numbers, and of lists and maps.
pub fn limits(document: &Value) -> String {
    let mut limits = Limits::default();
    for (name, schema) in members(&document["components"]["schemas"]) {
        let forms = schema["oneOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice);
        for form in forms.iter().filter(|form| form["additionalProperties"] == Value::Bool(false)) {
            for (field, schema) in members(&form["properties"]) {
                // An amount means nothing without its object.
                let field = if name == "Price" { format!("price.{field}") } else { field.clone() };
                limits.add(&field, schema);
            }
        }
    }
    limits.text()
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

/// The fields of each limit; limits in the order of their size.
#[derive(Default)]
struct Limits {
    texts: Table,
    numbers: Table,
    lists: Table,
}

type Table = BTreeMap<(i64, i64), BTreeSet<String>>;

impl Limits {
    fn add(&mut self, field: &str, schema: &Value) {
        let alternatives =
            ["oneOf", "anyOf"].iter().filter_map(|member| schema[*member].as_array()).flatten();
        let ranges: Vec<(i64, i64)> =
            alternatives.clone().filter_map(|it| range(it, "minimum", "maximum")).collect();
        if let (Some(least), Some(most)) =
            (ranges.iter().map(|it| it.0).min(), ranges.iter().map(|it| it.1).max())
        {
            self.numbers.entry((least, most)).or_default().insert(field.to_owned());
        }
        let add = |table: &mut Table, least: &str, most: &str| {
            if let Some(range) = range(schema, least, most) {
                table.entry(range).or_default().insert(field.to_owned());
            }
        };
        add(&mut self.texts, "minLength", "maxLength");
        add(&mut self.numbers, "minimum", "maximum");
        add(&mut self.lists, "minItems", "maxItems");
        add(&mut self.lists, "minProperties", "maxProperties");
        if let Some(keys) = schema.get("propertyNames").and_then(|keys| range(keys, "minLength", "maxLength"))
        {
            self.texts.entry(keys).or_default().insert(format!("{field} (keys)"));
        }
        if let Some(values) =
            schema.get("additionalProperties").and_then(|values| range(values, "minLength", "maxLength"))
        {
            self.texts.entry(values).or_default().insert(format!("{field} (values)"));
        }
    }

    fn text(&self) -> String {
        let tables =
            [("characters", &self.texts), ("number", &self.numbers), ("elements or entries", &self.lists)];
        let tables = tables.map(|(heading, table)| {
            let rows = table.iter().map(|((least, most), fields)| {
                let fields: Vec<String> = fields.iter().map(|field| shown(field)).collect();
                let least = if *least == 0 && heading != "number" {
                    "up to".to_owned()
                } else {
                    format!("{} to", grouped(*least))
                };
                format!("| {} | {least} {} |\n", fields.join(", "), grouped(*most))
            });
            format!("| field | {heading} |\n| --- | --- |\n{}", rows.collect::<String>())
        });
        tables.join("\n")
    }
}

/// `name`, or `metadata` (keys).
fn shown(field: &str) -> String {
    match field.split_once(' ') {
        Some((name, part)) => format!("`{name}` {part}"),
        None => format!("`{field}`"),
    }
}

fn range(schema: &Value, least: &str, most: &str) -> Option<(i64, i64)> {
    Some((schema[least].as_i64().unwrap_or(0), schema[most].as_i64()?))
}

/// 10000 as 10,000.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
