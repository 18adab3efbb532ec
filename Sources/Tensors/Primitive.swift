import COneDNN

/// Copies an array to another layout and type.
final class Reordering {
    private let primitive: Primitive
    private unowned let device: Device

    /// nil where both are the same.
    init?(from source: MemoryDescription, to destination: MemoryDescription, device: Device) throws {
        if dnnl_memory_desc_equal(source, destination) != 0 { return nil }
        self.device = device
        primitive = try Primitive(device: device) { result, attributes in
            dnnl_reorder_primitive_desc_create(
                &result, source, device.engine, destination, device.engine, attributes)
        }
    }

    /// Floats of the source, including padding of its layout.
    var inputElements: Int { primitive.elements(of: DNNL_ARG_FROM) }

    func of(_ input: Tensor) throws -> Tensor {
        let result = device.tensor([primitive.elements(of: DNNL_ARG_TO)])
        try run(input, into: result)
        return result
    }

    func run(_ input: Tensor, into output: Tensor) throws {
        try primitive.run([(DNNL_ARG_FROM, input.address), (DNNL_ARG_TO, output.address)])
    }
}

/// Sizes, layout and type of an array, as oneDNN takes them.
final class Description {
    let base: MemoryDescription

    init(_ sizes: [Int], _ layout: dnnl_format_tag_t, _ type: dnnl_data_type_t = dnnl_f32) throws {
        var base: MemoryDescription? = nil
        try check(
            "memory_description_create",
            memory_description_create(&base, Int32(sizes.count), sizes.map(Int64.init), type, layout))
        self.base = base!
    }

    /// Of a matrix, `stride` elements from row to row, or from column to column where it is read as its transpose.
    init(rows: Int, columns: Int, stride: Int, isTransposed: Bool, _ type: dnnl_data_type_t) throws {
        var base: MemoryDescription? = nil
        let strides = isTransposed ? [1, Int64(stride)] : [Int64(stride), 1]
        try check(
            "matrix_description_create",
            matrix_description_create(&base, [Int64(rows), Int64(columns)], type, strides))
        self.base = base!
    }

    deinit { memory_description_destroy(base) }
}

/// What a primitive does with its result.
enum ResultUse {
    case written, added
    /// max(result, 0) is written.
    case rectified

    fileprivate var finish: Finish {
        switch self {
        case .written: finish_writing
        case .added: finish_adding
        case .rectified: finish_rectifying
        }
    }
}

/// A oneDNN primitive with its description. Its scratch memory comes from the device's pool.
final class Primitive {
    let descriptor: dnnl_primitive_desc_t
    private let primitive: dnnl_primitive_t
    private unowned let device: Device

    /// - Parameters:
    ///   - use: what it does with its result.
    ///   - describe: makes the description with the given attributes.
    init(
        device: Device, use: ResultUse = .written,
        _ describe: (inout dnnl_primitive_desc_t?, dnnl_primitive_attr_t?) -> dnnl_status_t
    ) throws {
        var attributes: dnnl_primitive_attr_t? = nil
        try check("dnnl_primitive_attr_create", dnnl_primitive_attr_create(&attributes))
        defer { dnnl_primitive_attr_destroy(attributes) }
        try check(
            "dnnl_primitive_attr_set_scratchpad_mode",
            dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user))
        try check("attributes_set_finish", attributes_set_finish(attributes, use.finish))
        var descriptor: dnnl_primitive_desc_t? = nil
        try check("a description of a primitive", describe(&descriptor, attributes))
        var primitive: dnnl_primitive_t? = nil
        try check("dnnl_primitive_create", dnnl_primitive_create(&primitive, descriptor))
        self.descriptor = descriptor!
        self.primitive = primitive!
        self.device = device
    }

    deinit {
        dnnl_primitive_destroy(primitive)
        dnnl_primitive_desc_destroy(descriptor)
    }

    /// Of an argument, such as `DNNL_ARG_SRC`; valid as long as this primitive.
    func description(of argument: Int32) -> MemoryDescription {
        dnnl_primitive_desc_query_md(descriptor, dnnl_query_exec_arg_md, argument)!
    }

    /// Floats that an argument's array takes.
    func elements(of argument: Int32) -> Int { (dnnl_memory_desc_get_size(description(of: argument)) + 3) / 4 }

    /// - Parameter arguments: each with the address of its array.
    func run(_ arguments: [(Int32, UnsafeMutableRawPointer)]) throws {
        let scratch = device.tensor([elements(of: DNNL_ARG_SCRATCHPAD)])
        var memories: [dnnl_exec_arg_t] = []
        defer { for memory in memories { dnnl_memory_destroy(memory.memory) } }
        let all = arguments + [(DNNL_ARG_SCRATCHPAD, scratch.address)]
        for (argument, address) in all {
            var memory: dnnl_memory_t? = nil
            try check(
                "dnnl_memory_create", dnnl_memory_create(&memory, description(of: argument), device.engine, address))
            memories.append(dnnl_exec_arg_t(arg: argument, memory: memory))
        }
        try check(
            "dnnl_primitive_execute",
            dnnl_primitive_execute(primitive, device.stream, Int32(memories.count), memories))
        try check("dnnl_stream_wait", dnnl_stream_wait(device.stream))
        withExtendedLifetime(scratch) {}
    }
}
